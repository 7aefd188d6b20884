//! `MatMulInteger` and `QLinearMatMul`: products of bytes.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::KernelSet,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{
        product::matmul::{MatMul, Sizes, result_shape},
        quantized::{
            centered::{is_bytes, is_one},
            product::{Left, Matrices},
            requantize::Requantize,
        },
    },
    shape::Dim,
    tensor::{DType, Tensor},
};

/// The product of two operands of bytes, less their zero points, as `MatMul` multiplies.
///
/// Operands with 32-bit results: `a`, `b`, and zero points, which may be absent. With quantized
/// results: `a`, its scale and zero point, `b`, its scale and zero point, the result's scale and
/// zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedMatMul {
    /// Whether the result has a scale of its own, rather than being the sums.
    pub scaled: bool,
}

macro_rules! def {
    ($constant:ident, $name:literal, $scaled:literal) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some(|_| Ok(Arc::new(QuantizedMatMul { scaled: $scaled }))),
            cases: || cases($scaled),
            accuracy: Accuracy::Exact,
            cpu: CpuState::Kernel(kernel),
            gpu: GpuState::Host("bytes are multiplied on the host"),
        };
    };
}
def!(INTEGER, "MatMulInteger", false);
def!(LINEAR, "QLinearMatMul", true);

impl QuantizedMatMul {
    /// Where `b` and the zero points of both are.
    fn places(self) -> [usize; 3] {
        if self.scaled { [3, 2, 5] } else { [1, 2, 3] }
    }
}

impl Operator for QuantizedMatMul {
    fn def(&self) -> &'static OpDef {
        if self.scaled { &LINEAR } else { &INTEGER }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [b, a_zero, b_zero] = self.places();
        inputs.expect(if self.scaled { 8 } else { 2 }, if self.scaled { 8 } else { 4 })?;
        let (a, b) = (inputs.required(0)?, inputs.required(b)?);
        if !is_bytes(a) || !is_bytes(b) {
            return Err(Error::unsupported(format!("a quantized product of {a} and {b}; only i8 and u8 are")));
        }
        for (of, zero) in [(a, a_zero), (b, b_zero)] {
            if inputs.fact(zero).is_some_and(|zero| zero.dtype != of.dtype) {
                return Err(Error::invalid_model(format!("a zero point of another type than {}", of.dtype)));
            }
        }
        let shape = result_shape(inputs, &a.shape, &b.shape)?;
        if !self.scaled {
            return Ok(vec![Fact::new(DType::I32, shape)]);
        }
        if [1, 4, 6].iter().any(|&scale| inputs.fact(scale).is_none_or(|fact| !fact.dtype.is_float())) {
            return Err(Error::invalid_model("scales that are no floating-point numbers"));
        }
        let zero = inputs.required(7)?;
        if !is_bytes(zero) || !is_one(zero) {
            return Err(Error::unsupported(format!("a result with the zero point {zero}; only one i8 or u8 is")));
        }
        Ok(vec![Fact::new(zero.dtype, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let [b, a_zero, b_zero] = self.places();
        // Scales and zero points of all alike, so that no row has its own.
        let alone = |index: usize| inputs.fact(index).is_none_or(is_one);
        let scales = !self.scaled || (alone(1) && alone(4));
        let others = (1..axes.len()).filter(|&index| index != b).all(|index| axes[index].is_none());
        let b_shape = &inputs.fact(b)?.shape;
        let known = MatMul::item_axis(&inputs.fact(0)?.shape, b_shape, axes[0], axes[b]);
        if alone(a_zero) && alone(b_zero) && scales && others { known } else { None }
    }
}

struct Kernel {
    op: QuantizedMatMul,
    set: KernelSet,
    /// A constant right operand.
    constant: Option<Matrices>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (*request.op::<QuantizedMatMul>()?, request.kernel_set());
    let [b, _, zero] = op.places();
    Ok(Box::new(Kernel { op, set, constant: Matrices::constant(request, b, zero)? }))
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        self.constant.as_ref().map_or(0, Matrices::bytes)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let inputs = io.inputs.clone();
        let optional = |index: usize| inputs.get(index).copied().flatten();
        let [b, a_zero, b_zero] = self.op.places();
        let a = io.input(0)?;
        let packed;
        let Matrices { all: right, shape: b_shape } = match &self.constant {
            Some(constant) => constant,
            None => {
                packed = Matrices::new(self.set, io.input(b)?, optional(b_zero))?;
                &packed
            }
        };
        let sizes = Sizes::of(a.shape, b_shape)?;
        let (m, k, n) = (sizes.m, sizes.k, sizes.n);
        let left = Left::new(self.set, a, optional(a_zero), m, k)?;
        let requantize = match self.op.scaled {
            true => Some(Requantize::new(io.input(1)?, io.input(4)?, [m, n], io.input(6)?, optional(7))?),
            false => None,
        };
        let output = io.output(0)?;
        let leading = sizes.leading(a.shape, b_shape, output.shape)?.to_vec();
        if m * n == 0 {
            return Ok(());
        }
        let mut sums = if requantize.is_some() { vec![0; m * n] } else { Vec::new() };
        for index in 0..leading.iter().product() {
            let (at, bt) = (place(index, &leading, sizes.a), place(index, &leading, sizes.b));
            let right = &right[bt.min(right.len() - 1)];
            match &requantize {
                None => {
                    let to = &mut output.slice::<i32>()?[index * m * n..][..m * n];
                    right.multiply(self.set, &left, at * m * k, to)?;
                }
                Some(requantize) => {
                    right.multiply(self.set, &left, at * m * k, &mut sums)?;
                    requantize.write(self.set, &sums, [m, n], index * m * n, output)?;
                }
            }
        }
        Ok(())
    }
}

/// The position of matrix `index` of `whole` in an operand that broadcasts to it.
fn place(mut index: usize, whole: &[usize], own: &[usize]) -> usize {
    let (mut at, mut step) = (0, 1);
    for (axis, &size) in whole.iter().enumerate().rev() {
        let own = (axis + own.len()).checked_sub(whole.len()).map_or(1, |axis| own[axis]);
        if own != 1 {
            at += index % size * step;
        }
        step *= own;
        index /= size;
    }
    at
}

fn cases(scaled: bool) -> Vec<Case> {
    let bytes = |shape: &[usize], seed: usize| {
        let count = shape.iter().product::<usize>();
        let all: Vec<u8> = (0..count).map(|at| ((at * 97 + seed * 31) % 251) as u8).collect();
        Tensor::new(shape, &all).expect("one byte an index")
    };
    let signed = |shape: &[usize], seed: usize| {
        let all: Vec<i8> = bytes(shape, seed).bytes().iter().map(|&x| x as i8).collect();
        Tensor::new(shape, &all).expect("one byte an index")
    };
    let one = |scale: f32| Tensor::scalar(scale);
    let case = |name: &str, a: Tensor, za: Tensor, b: Tensor, zb: Tensor| {
        let case = Case::new(name, QuantizedMatMul { scaled });
        if !scaled {
            return case.tensor(a).constant_tensor(b).constant_tensor(za).constant_tensor(zb);
        }
        let (rows, columns) = (za.len(), zb.len());
        let scales = |count: usize| {
            let all: Vec<f32> = (0..count).map(|at| 0.01 + at as f32 / 300.0).collect();
            if count == 1 { one(0.02) } else { Tensor::new([count], &all).expect("as many scales") }
        };
        let case = case.tensor(a).constant_tensor(scales(rows)).constant_tensor(za).constant_tensor(b);
        let case = case.constant_tensor(scales(columns)).constant_tensor(zb);
        case.constant_tensor(one(0.9)).constant_tensor(Tensor::scalar(100u8))
    };
    vec![
        case("bytes", bytes(&[7, 70], 1), Tensor::scalar(113u8), bytes(&[70, 90], 2), Tensor::scalar(7u8)),
        case("signed", bytes(&[2, 5, 9], 1), Tensor::scalar(113u8), signed(&[9, 4], 2), Tensor::scalar(-7i8)),
        case("broadcast", signed(&[2, 1, 3, 4], 1), Tensor::scalar(0i8), signed(&[3, 4, 5], 2), Tensor::scalar(0i8)),
        case(
            "of rows and columns",
            bytes(&[3, 4], 1),
            Tensor::new([3], &[1u8, 100, 255]).expect("three"),
            signed(&[4, 2], 2),
            Tensor::new([2], &[-100i8, 90]).expect("two"),
        ),
        case("no sums", bytes(&[3, 0], 1), Tensor::scalar(0u8), bytes(&[0, 2], 2), Tensor::scalar(0u8)),
    ]
}
