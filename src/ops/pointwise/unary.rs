//! Functions of one element, one row each.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        Activation, KernelSet,
        map::map,
        number::{Integer, Number, erf, with_integer, with_number},
        simd,
    },
    op::{Accuracy, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::pointwise::cases,
    shape::Dim,
    tensor::{DType, View},
};

/// One function applied to every element.
///
/// Operands: the tensor; for [`UnaryFunction::Clip`] also the least and the greatest result, scalars, where they are
/// not attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unary {
    /// Which.
    pub function: UnaryFunction,
}

/// The table: name, attributes with ONNX's names and defaults, how ONNX writes it (`plain`, `rewritten`: not at all, or
/// a decoder), and the formula in double precision, which kernels with vector instructions replace for `f32`.
macro_rules! table {
    (
        formulas { $(
            $(#[$doc:meta])*
            $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $attribute:literal = $default:expr),* })?
            $onnx:ident, |$x:ident| $formula:expr;
        )* }
        others { $(
            $(#[$other_doc:meta])*
            $other:ident $({ $($(#[$other_field_doc:meta])* $other_field:ident: $other_type:ty = $other_default:expr),* })?
            $decode:ident;
        )* }
    ) => {
        /// The functions of one element.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum UnaryFunction {
            $($(#[$doc])* $name $({ $($(#[$field_doc])* $field: f32),* })?,)*
            $($(#[$other_doc])* $other $({ $($(#[$other_field_doc])* $other_field: $other_type),* })?,)*
        }

        impl UnaryFunction {
            /// ONNX's name, or ours.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                    $(Self::$other { .. } => stringify!($other),)*
                }
            }
        }

        static ROWS: &[OpDef] = &[
            $(OpDef {
                name: stringify!($name),
                onnx: table!(@onnx $onnx |node| UnaryFunction::$name $({
                    $($field: node.float($attribute)?.unwrap_or($default)),*
                })?),
                cases: || cases::unary(UnaryFunction::$name $({ $($field: $default),* })?),
                accuracy: Accuracy::Pointwise,
                cpu: CpuState::Kernel(kernel),
                gpu: GpuState::Kernel("pointwise"),
            },)*
            $(OpDef {
                name: stringify!($other),
                onnx: Some($decode),
                cases: || cases::unary(UnaryFunction::$other $({ $($other_field: $other_default),* })?),
                accuracy: Accuracy::Pointwise,
                cpu: CpuState::Kernel(kernel),
                gpu: GpuState::Kernel("pointwise"),
            },)*
        ];

        /// The function of a number in double precision, if it has a formula.
        fn formula(function: UnaryFunction, x: f64) -> Option<f64> {
            match function {
                $(UnaryFunction::$name $({ $($field),* })? => {
                    $($(let $field = f64::from($field);)*)?
                    let $x = x;
                    Some($formula)
                })*
                _ => None,
            }
        }
    };
    (@onnx rewritten |$node:ident| $function:expr) => { None };
    (@onnx plain |$node:ident| $function:expr) => {
        Some(|$node| {
            let _ = &$node;
            Ok(Arc::new(Unary { function: $function }))
        })
    };
    (@onnx $decode:ident |$node:ident| $function:expr) => { Some($decode) };
}

table! {
    formulas {
        /// `|x|`; integers too
        Abs plain, |x| x.abs();
        /// The angle whose cosine is `x`
        Acos plain, |x| x.acos();
        /// The inverse of `cosh`, not negative
        Acosh plain, |x| x.acosh();
        /// The angle whose sine is `x`
        Asin plain, |x| x.asin();
        /// The inverse of `sinh`
        Asinh plain, |x| x.asinh();
        /// The angle whose tangent is `x`
        Atan plain, |x| x.atan();
        /// The inverse of `tanh`
        Atanh plain, |x| x.atanh();
        /// The nearest integer that is not smaller
        Ceil plain, |x| x.ceil();
        /// `max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)`
        Celu {
            /// Minus the limit at minus infinity.
            alpha: "alpha" = 1.0
        } plain, |x| x.larger(0.0) + (alpha * (x / alpha).exp_m1()).smaller(0.0);
        /// Cosine
        Cos plain, |x| x.cos();
        /// Hyperbolic cosine
        Cosh plain, |x| x.cosh();
        /// `x < 0 ? alpha (e^x - 1) : x`
        Elu {
            /// Minus the limit at minus infinity.
            alpha: "alpha" = 1.0
        } plain, |x| if x < 0.0 { alpha * x.exp_m1() } else { x };
        /// The error function
        Erf plain, |x| erf(x);
        /// `e^x`
        Exp plain, |x| x.exp();
        /// The nearest integer that is not larger
        Floor plain, |x| x.floor();
        /// `x (1 + erf(x / sqrt 2)) / 2`; 0 at minus infinity
        Gelu gelu, |x| {
            let x = x.larger(-40.0);
            x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
        };
        /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`; 0 at minus infinity. ONNX: `Gelu` with `approximate`
        GeluTanh rewritten, |x| {
            let x = x.larger(-40.0);
            let cubic = x + 0.044715 * x * x * x;
            x * 0.5 * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * cubic).tanh())
        };
        /// `min(max(alpha x + beta, 0), 1)`
        HardSigmoid {
            /// The slope.
            alpha: "alpha" = 0.2,
            /// The value at 0.
            beta: "beta" = 0.5
        } plain, |x| (alpha * x + beta).larger(0.0).smaller(1.0);
        /// `x min(max(x / 6 + 1 / 2, 0), 1)`; 0 at minus infinity
        HardSwish plain, |x| {
            let x = x.larger(-4.0);
            x * (x / 6.0 + 0.5).larger(0.0).smaller(1.0)
        };
        /// `x < 0 ? alpha x : x`
        LeakyRelu {
            /// The factor below 0.
            alpha: "alpha" = 0.01
        } plain, |x| if x < 0.0 { alpha * x } else { x };
        /// The natural logarithm
        Log plain, |x| x.ln();
        /// `x tanh(ln(1 + e^x))`; 0 at minus infinity
        Mish plain, |x| {
            let x = x.larger(-800.0);
            x * softplus(x).tanh()
        };
        /// `-x`; integers too
        Neg plain, |x| -x;
        /// `1 / x`
        Reciprocal plain, |x| 1.0 / x;
        /// `max(x, 0)`; integers too
        Relu plain, |x| x.larger(0.0);
        /// The nearest integer, halves to the even one
        Round plain, |x| x.round_ties_even();
        /// `gamma (x > 0 ? x : alpha (e^x - 1))`
        Selu {
            /// The factor of the exponential.
            alpha: "alpha" = 1.673_263_2,
            /// The factor of all.
            gamma: "gamma" = 1.050_701
        } plain, |x| gamma * if x > 0.0 { x } else { alpha * x.exp_m1() };
        /// `x < -lambda ? x + bias : x > lambda ? x - bias : 0`
        Shrink {
            /// What is taken off the magnitude.
            bias: "bias" = 0.0,
            /// The magnitude up to which the result is 0.
            lambda: "lambd" = 0.5
        } plain, |x| if x < -lambda { x + bias } else if x > lambda { x - bias } else { x * 0.0 };
        /// `1 / (1 + e^-x)`
        Sigmoid plain, |x| 1.0 / (1.0 + (-x).exp());
        /// -1, 0 or 1; integers too
        Sign plain, |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x };
        /// `x / (1 + e^-x)`; 0 at minus infinity
        Silu rewritten, |x| {
            let x = x.larger(-700.0);
            x / (1.0 + (-x).exp())
        };
        /// Sine
        Sin plain, |x| x.sin();
        /// Hyperbolic sine
        Sinh plain, |x| x.sinh();
        /// `ln(1 + e^x)`
        Softplus plain, |x| softplus(x);
        /// `x / (1 + |x|)`
        Softsign plain, |x| x / (1.0 + x.abs());
        /// The square root
        Sqrt plain, |x| x.sqrt();
        /// Tangent
        Tan plain, |x| x.tan();
        /// Hyperbolic tangent
        Tanh plain, |x| x.tanh();
        /// `x > alpha ? x : 0`
        ThresholdedRelu {
            /// The threshold.
            alpha: "alpha" = 1.0
        } plain, |x| if x > alpha || x.is_nan() { x } else { 0.0 };
    }
    others {
        /// All bits turned over; integers
        BitwiseNot decode_plain;
        /// `min(max(x, low), high)`, with operands 1 and 2 in place of `low` and `high` where they are there; integers too
        Clip {
            /// The least result.
            low: f32 = -0.5,
            /// The greatest result.
            high: f32 = 1.25
        } decode_clip;
        /// Whether it is an infinity of a sign that is asked for; gives truth values
        IsInf {
            /// Minus infinity.
            negative: bool = true,
            /// Plus infinity.
            positive: bool = true
        } decode_is_inf;
        /// Whether it is no number; gives truth values
        IsNaN decode_plain;
        /// The other truth value
        Not decode_plain;
    }
}

pub(crate) fn rows() -> impl Iterator<Item = &'static OpDef> {
    ROWS.iter()
}

/// Applies a function that has a formula.
fn apply<T: Number>(function: UnaryFunction, input: &[T], output: &mut [T]) -> Result<()> {
    if formula(function, 0.0).is_none() {
        return Err(Error::internal(format!("{} has no formula", function.name())));
    }
    map(input, output, &|x: T| T::narrow(formula(function, x.wide()).unwrap_or(f64::NAN)))
}

fn softplus(x: f64) -> f64 {
    x.larger(0.0) + (-x.abs()).exp().ln_1p()
}

fn decode_plain(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let function = match node.op_type() {
        "BitwiseNot" => UnaryFunction::BitwiseNot,
        "IsNaN" => UnaryFunction::IsNaN,
        "Not" => UnaryFunction::Not,
        other => return Err(Error::internal(format!("{other} is not decoded here"))),
    };
    Ok(Arc::new(Unary { function }))
}

fn gelu(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let function = match node.string("approximate")?.as_deref() {
        None | Some("none") => UnaryFunction::Gelu,
        Some("tanh") => UnaryFunction::GeluTanh,
        Some(other) => return Err(Error::unsupported(format!("`approximate` is `{other}`, expected none or tanh"))),
    };
    Ok(Arc::new(Unary { function }))
}

fn decode_is_inf(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (negative, positive) = (node.flag("detect_negative", true)?, node.flag("detect_positive", true)?);
    Ok(Arc::new(Unary { function: UnaryFunction::IsInf { negative, positive } }))
}

fn decode_clip(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let mut low = node.float("min")?.unwrap_or(f32::NEG_INFINITY);
    let mut high = node.float("max")?.unwrap_or(f32::INFINITY);
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

impl UnaryFunction {
    fn def(self) -> &'static OpDef {
        ROWS.iter().find(|row| row.name == self.name()).expect("the table makes a row of each name")
    }

    /// The same function as kernels know it, if they do.
    pub fn activation(self) -> Option<Activation> {
        Some(match self {
            Self::Abs => Activation::Abs,
            Self::Clip { low, high } => Activation::Clip { low, high },
            Self::Erf => Activation::Erf,
            Self::Exp => Activation::Exp,
            Self::Gelu => Activation::Gelu,
            Self::GeluTanh => Activation::GeluTanh,
            Self::HardSigmoid { alpha, beta } => Activation::HardSigmoid { alpha, beta },
            Self::HardSwish => Activation::HardSwish,
            Self::LeakyRelu { alpha } => Activation::LeakyRelu { slope: alpha },
            Self::Neg => Activation::Neg,
            Self::Reciprocal => Activation::Reciprocal,
            Self::Relu => Activation::Relu,
            Self::Sigmoid => Activation::Sigmoid,
            Self::Silu => Activation::Silu,
            Self::Sqrt => Activation::Sqrt,
            Self::Tanh => Activation::Tanh,
            _ => return None,
        })
    }

    /// Whether it gives numbers of the type that it is given.
    pub(crate) fn keeps_floats(self) -> bool {
        self.result(DType::F32) == Some(DType::F32)
    }

    /// The results' type, if the function takes elements of type `dtype`.
    fn result(self, dtype: DType) -> Option<DType> {
        let (float, integer) = (dtype.is_float(), dtype.is_integer());
        match self {
            Self::IsNaN | Self::IsInf { .. } => float.then_some(DType::Bool),
            Self::Not => (dtype == DType::Bool).then_some(dtype),
            Self::BitwiseNot => integer.then_some(dtype),
            Self::Abs | Self::Clip { .. } | Self::Neg | Self::Relu | Self::Sign => (float || integer).then_some(dtype),
            _ => float.then_some(dtype),
        }
    }
}

impl Operator for Unary {
    fn def(&self) -> &'static OpDef {
        self.function.def()
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
        let elements = input.elements.as_ref().filter(|_| matches!(input.dtype, DType::I64 | DType::I32 | DType::Bool));
        let known = elements.and_then(|all| all.iter().map(|dim| self.element(dim)).collect());
        Ok(vec![Fact::new(dtype, input.shape.clone()).with_elements(known)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[1..].iter().all(Option::is_none).then(|| vec![axes[0]])
    }
}

impl Unary {
    /// The function of an integer that shape inference follows, if the result can be known.
    fn element(&self, dim: &Dim) -> Option<Dim> {
        let negative = || &Dim::number(0) - dim;
        match self.function {
            UnaryFunction::Neg => Some(negative()),
            UnaryFunction::Not => Some(&Dim::number(1) - dim),
            UnaryFunction::Abs if dim.least().is_some_and(|least| least >= 0) => Some(dim.clone()),
            UnaryFunction::Abs if negative().least().is_some_and(|least| least >= 0) => Some(negative()),
            UnaryFunction::Relu => Some(dim.max(&Dim::number(0))),
            _ => None,
        }
        .filter(Dim::is_valid)
    }
}

struct Kernel {
    function: UnaryFunction,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { function: request.op::<Unary>()?.function, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let bounds = [1, 2].map(|index| io.inputs.get(index).copied().flatten());
        let output = io.output(0)?;
        let none = || Err(Error::internal(format!("{} was given {}", self.function.name(), input.dtype)));
        match self.function {
            UnaryFunction::IsNaN => {
                let output = output.slice::<u8>()?;
                with_number!(input.dtype, T => map(input.slice::<T>()?, output, &|x| u8::from(x.wide().is_nan())),
                    else none())
            }
            UnaryFunction::IsInf { negative, positive } => {
                let output = output.slice::<u8>()?;
                let asked = |x: f64| (positive && x == f64::INFINITY) || (negative && x == f64::NEG_INFINITY);
                with_number!(input.dtype, T => map(input.slice::<T>()?, output, &|x| u8::from(asked(x.wide()))),
                    else none())
            }
            UnaryFunction::Not => map(input.slice::<u8>()?, output.slice::<u8>()?, &|x| x ^ 1),
            UnaryFunction::Clip { low, high } if input.dtype != DType::F32 || bounds.iter().any(Option::is_some) => {
                with_number!(input.dtype, T => clip::<T>(input, [low, high], bounds, output.slice()?), else none())
            }
            function => match input.dtype {
                DType::F32 => apply_f32(self.set, function, input.slice()?, output.slice()?),
                DType::F64 => apply::<f64>(function, input.slice()?, output.slice()?),
                DType::F16 => apply::<half::f16>(function, input.slice()?, output.slice()?),
                DType::BF16 => apply::<half::bf16>(function, input.slice()?, output.slice()?),
                dtype => {
                    with_integer!(dtype, T => integers::<T>(function, input.slice()?, output.slice()?), else none())
                }
            },
        }
    }
}

/// Applies a function to `f32`, with vector instructions where kernels have the function.
fn apply_f32(set: KernelSet, function: UnaryFunction, input: &[f32], output: &mut [f32]) -> Result<()> {
    match function.activation() {
        Some(activation) => simd::map(set, activation, input, output),
        None => apply(function, input, output),
    }
}

/// Replaces each element by the function of it.
pub(crate) fn apply_in_place(set: KernelSet, function: UnaryFunction, data: &mut [f32]) -> Result<()> {
    if let Some(activation) = function.activation() {
        simd::map_in_place(set, activation, data);
        return Ok(());
    }
    let mut before = [0f32; 256];
    for data in data.chunks_mut(before.len()) {
        let before = &mut before[..data.len()];
        before.copy_from_slice(data);
        apply(function, before, data)?;
    }
    Ok(())
}

fn clip<T: Number>(
    input: View<'_>,
    attributes: [f32; 2],
    bounds: [Option<View<'_>>; 2],
    output: &mut [T],
) -> Result<()> {
    let mut ends = [T::LEAST, T::GREATEST];
    for ((end, attribute), operand) in ends.iter_mut().zip(attributes).zip(bounds) {
        match operand {
            Some(operand) => {
                let one = operand.slice::<T>()?.first();
                *end = *one.ok_or_else(|| Error::invalid_input("a bound of Clip is empty"))?;
            }
            None if attribute.is_finite() => *end = T::narrow(f64::from(attribute)),
            None => {}
        }
    }
    map(input.slice::<T>()?, output, &|x| x.larger(ends[0]).smaller(ends[1]))
}

fn integers<T: Integer>(function: UnaryFunction, input: &[T], output: &mut [T]) -> Result<()> {
    match function {
        UnaryFunction::Abs => map(input, output, &|x: T| if x < T::ZERO { T::ZERO.minus(x) } else { x }),
        UnaryFunction::Neg => map(input, output, &|x: T| T::ZERO.minus(x)),
        UnaryFunction::Relu => map(input, output, &|x: T| x.larger(T::ZERO)),
        UnaryFunction::Sign => map(input, output, &|x: T| T::narrow(f64::from(x.cmp(&T::ZERO) as i8))),
        UnaryFunction::BitwiseNot => map(input, output, &T::inverted),
        other => Err(Error::internal(format!("{} was given integers", other.name()))),
    }
}
