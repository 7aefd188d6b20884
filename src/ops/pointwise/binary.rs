//! Functions of the elements of several operands: decoders and shape rule.

mod cases;
mod elements;
mod function;
mod kernel;
mod table;

use std::sync::Arc;

pub use function::{Binary, BinaryFunction};
pub(super) use kernel::apply_in_place;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::pointwise::{
        binary::{elements::elements, table::binary_functions},
        broadcast::{broadcast_batch_axes, broadcast_shape},
    },
    shape::Dim,
    tensor::DType,
};

macro_rules! rows {
    ($($class:ident $formula_of:ident($number:ident: $bound:ident) -> $result:ty { $(
        $(#[$doc:meta])*
        $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* })?
        $arity:ident $onnx:ident $accuracy:ident, $formula:expr;
    )* })*) => {
        /// One operator for each function.
        pub(super) static ROWS: &[OpDef] = &[$($(OpDef {
            name: stringify!($name),
            onnx: Some(rows!(@decode $onnx $name)),
            cases: || cases::of(BinaryFunction::$name $({ $($field: $default),* })?),
            accuracy: Accuracy::$accuracy,
            cpu: CpuState::Kernel(kernel::kernel),
            gpu: GpuState::Kernel("pointwise"),
        },)*)*];
    };
    (@decode plain $name:ident) => { |_| Ok(Arc::new(Binary { function: BinaryFunction::$name })) };
    (@decode $decoder:ident $name:ident) => { $decoder };
}

binary_functions!(rows);

fn decode_shift(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let left = match node.string("direction")?.as_deref() {
        Some("LEFT") => true,
        Some("RIGHT") => false,
        other => return Err(Error::invalid_model(format!("`direction` is {other:?}, expected LEFT or RIGHT"))),
    };
    Ok(Arc::new(Binary { function: BinaryFunction::BitShift { left } }))
}

fn decode_mod(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Binary { function: BinaryFunction::Mod { truncated: node.flag("fmod", false)? } }))
}

impl Operator for Binary {
    fn def(&self) -> &'static OpDef {
        let name = self.function.name();
        ROWS.iter().find(|row| row.name == name).expect("the table has a row of each name")
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let (least, most) = if self.function.is_variadic() { (1, usize::MAX) } else { (2, 2) };
        inputs.expect(least, most)?;
        let dtype = inputs.required(0)?.dtype;
        for index in 0..inputs.len() {
            let own = inputs.required(index)?.dtype;
            let power = self.function == BinaryFunction::Pow && index == 1 && own.is_number();
            if !self.function.takes(own) || (own != dtype && !power) {
                let what = format!("{} does not take operands of types {dtype} and {own}", self.function.name());
                return Err(Error::unsupported(what));
            }
        }
        let shape = broadcast_shape(inputs)?;
        if self.function == BinaryFunction::PRelu {
            inputs.broadcast_into(&inputs.required(1)?.shape, &inputs.required(0)?.shape)?;
        }
        let dtype = if self.function.is_comparison() { DType::Bool } else { dtype };
        let elements = elements(self.function, inputs, &shape);
        Ok(vec![Fact::new(dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        broadcast_batch_axes(inputs, axes, size)
    }
}
