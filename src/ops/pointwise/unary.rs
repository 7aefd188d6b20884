//! Functions of one element: decoders and shape rule.

mod cases;
mod function;
mod kernel;
mod table;

use std::sync::Arc;

pub use function::{Unary, UnaryFunction};
pub(super) use kernel::apply_in_place;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::pointwise::unary::table::unary_functions,
    shape::Dim,
    tensor::DType,
};

macro_rules! rows {
    (
        formulas { $(
            $(#[$doc:meta])*
            $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $attribute:literal = $default:expr),* })?
            $onnx:ident, |$x:ident| $formula:expr;
        )* }
        others { $(
            $(#[$other_doc:meta])*
            $other:ident $({ $($(#[$other_field_doc:meta])* $other_field:ident: $other_type:ty = $other_default:expr),* })?
            $other_onnx:ident;
        )* }
    ) => {
        /// One operator for each function.
        pub(super) static ROWS: &[OpDef] = &[
            $(rows!(@row $name,
                rows!(@decode $onnx |node| UnaryFunction::$name $({
                    $($field: node.float($attribute)?.unwrap_or($default)),*
                })?),
                UnaryFunction::$name $({ $($field: $default),* })?
            ),)*
            $(rows!(@row $other,
                rows!(@decode $other_onnx |node| UnaryFunction::$other),
                UnaryFunction::$other $({ $($other_field: $other_default),* })?
            ),)*
        ];
    };
    (@row $name:ident, $onnx:expr, $of_cases:expr) => {
        OpDef {
            name: stringify!($name),
            onnx: $onnx,
            cases: || cases::of($of_cases),
            accuracy: Accuracy::Pointwise,
            cpu: CpuState::Kernel(kernel::kernel),
            gpu: GpuState::Kernel("pointwise"),
        }
    };
    (@decode rewritten |$node:ident| $function:expr) => { None };
    (@decode plain |$node:ident| $function:expr) => {
        Some(|$node| {
            let _ = &$node;
            Ok(Arc::new(Unary { function: $function }))
        })
    };
    (@decode $decoder:ident |$node:ident| $function:expr) => { Some($decoder) };
}

unary_functions!(rows);

fn decode_gelu(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let function = match node.string("approximate")?.as_deref() {
        None | Some("none") => UnaryFunction::Gelu,
        Some("tanh") => UnaryFunction::GeluTanh,
        Some(other) => return Err(Error::unsupported(format!("`approximate` is `{other}`, expected none or tanh"))),
    };
    Ok(Arc::new(Unary { function }))
}

/// `x / (1 + e^(-alpha x))`, of which the functions have the usual alpha.
pub(crate) fn decode_swish(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    match node.float("alpha")? {
        None | Some(1.0) => Ok(Arc::new(Unary { function: UnaryFunction::Silu })),
        Some(alpha) => Err(Error::unsupported(format!("a Swish whose `alpha` is {alpha}, expected 1"))),
    }
}

fn decode_is_inf(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (negative, positive) = (node.flag("detect_negative", true)?, node.flag("detect_positive", true)?);
    Ok(Arc::new(Unary { function: UnaryFunction::IsInf { negative, positive } }))
}

fn decode_clip(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    // An absent bound is the least or the greatest finite number, which clips infinities.
    let finite = node.inputs().required(0)?.dtype == DType::F32;
    let (least, greatest) = if finite { (f32::MIN, f32::MAX) } else { (f32::NEG_INFINITY, f32::INFINITY) };
    let mut low = node.float("min")?.unwrap_or(least);
    let mut high = node.float("max")?.unwrap_or(greatest);
    // Bounds that are f32 constants become attributes; others stay operands.
    let bound = |node: &OnnxNode<'_>, index: usize| match node.inputs().id(index) {
        None => Some(None),
        Some(_) => match node.inputs().constant(index)?.as_slice::<f32>() {
            Ok([bound]) => Some(Some(*bound)),
            _ => None,
        },
    };
    if let (Some(least), Some(greatest)) = (bound(node, 1), bound(node, 2)) {
        low = least.unwrap_or(low);
        high = greatest.unwrap_or(high);
        node.take_constant(1)?;
    }
    Ok(Arc::new(Unary { function: UnaryFunction::Clip { low, high } }))
}

impl Operator for Unary {
    fn def(&self) -> &'static OpDef {
        ROWS.iter().find(|row| row.name == self.function.name()).expect("the table makes a row of each name")
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, if matches!(self.function, UnaryFunction::Clip { .. }) { 3 } else { 1 })?;
        let input = inputs.required(0)?;
        let dtype = self.function.result(input.dtype).ok_or_else(|| {
            Error::unsupported(format!("{} does not take elements of type {}", self.function.name(), input.dtype))
        })?;
        for bound in (1..inputs.len()).filter_map(|index| inputs.fact(index)) {
            if bound.dtype != input.dtype || bound.shape.elements().as_fixed() != Some(1) {
                return Err(Error::invalid_model(format!("a bound is {bound}, expected one {}", input.dtype)));
            }
        }
        let elements = input
            .elements
            .as_ref()
            .filter(|_| matches!(input.dtype, DType::I64 | DType::I32 | DType::Bool | DType::F32));
        let known = elements.and_then(|all| all.iter().map(|dim| self.element(dim)).collect());
        Ok(vec![Fact::new(dtype, input.shape.clone()).with_elements(known)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[1..].iter().all(Option::is_none).then(|| vec![axes[0]])
    }
}

impl Unary {
    /// The function of an element known at load, if the result is known too.
    fn element(&self, dim: &Dim) -> Option<Dim> {
        let negative = || &Dim::number(0) - dim;
        match self.function {
            UnaryFunction::Neg => Some(negative()),
            // Known elements are whole numbers.
            UnaryFunction::Ceil | UnaryFunction::Floor | UnaryFunction::Round => Some(dim.clone()),
            UnaryFunction::Not => Some(&Dim::number(1) - dim),
            UnaryFunction::Abs if dim.least().is_some_and(|least| least >= 0) => Some(dim.clone()),
            UnaryFunction::Abs if negative().least().is_some_and(|least| least >= 0) => Some(negative()),
            UnaryFunction::Relu => Some(dim.max(&Dim::number(0))),
            _ => None,
        }
        .filter(Dim::is_valid)
    }
}
