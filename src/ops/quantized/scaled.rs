//! A product of bytes as numbers: the sums times scales, and an epilogue.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{Activation, KernelSet},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{
        product::{linear::epilogue, matmul::result_shape},
        quantized::{
            centered::{is_bytes, is_one},
            product::{Left, Matrices},
        },
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// `(a - its zero point)(b - its zero points)` in exact sums, times a scale, with the epilogue of
/// [`Linear`](crate::ops::product::linear::Linear).
///
/// Operands: `a`, a matrix `b`, the zero points of both, which may be absent and are one or, of `b`, one for each of
/// its `N` columns, f32 scales (one or `N`), and those of the epilogue: a bias, a residual, and the scale and bias of the
/// layer norm, which may be absent. Made by rewrites only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScaledIntegerProduct {
    /// Applied to the sum of product and bias.
    pub activation: Activation,
    /// The epsilon of a layer norm over the last axis, if any.
    pub layer_norm: Option<f32>,
}

/// The first operand of the epilogue.
const BIAS: usize = 5;

pub(crate) static DEF: OpDef = OpDef {
    name: "ScaledIntegerProduct",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("bytes are multiplied on the host"),
};

impl Operator for ScaledIntegerProduct {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(5, 9)?;
        let (a, b, scale) = (inputs.required(0)?, inputs.required(1)?, inputs.required(4)?);
        if !is_bytes(a) || !is_bytes(b) || b.shape.rank() != 2 || a.shape.rank() == 0 {
            return Err(Error::invalid_model(format!("a product of {a} and {b}")));
        }
        let row = Shape::new(vec![b.shape[1].clone()]);
        let fits = |index: usize, dtype: DType, may_be_row: bool| {
            inputs.fact(index).is_none_or(|own| own.dtype == dtype && (is_one(own) || (may_be_row && own.shape == row)))
        };
        if !fits(2, a.dtype, false) || !fits(3, b.dtype, true) || !fits(4, DType::F32, true) {
            return Err(Error::invalid_model(format!("zero points and scales {scale} for a product with {b}")));
        }
        if let Some(other) = (BIAS..9).filter_map(|index| inputs.fact(index)).find(|fact| fact.dtype != DType::F32) {
            return Err(Error::invalid_model(format!("the operand {other} of an epilogue; only f32 is")));
        }
        let shape = result_shape(inputs, &a.shape, &b.shape)?;
        epilogue::check(inputs, BIAS, &shape, &b.shape[1], self.layer_norm.is_some())?;
        Ok(vec![Fact::new(DType::F32, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        epilogue::batch_axes(inputs, axes, BIAS)
    }
}

struct Kernel {
    op: ScaledIntegerProduct,
    set: KernelSet,
    /// A constant right operand.
    constant: Option<Matrices>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (request.op::<ScaledIntegerProduct>()?.clone(), request.kernel_set());
    Ok(Box::new(Kernel { op, set, constant: Matrices::constant(request, 1, 3)? }))
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        self.constant.as_ref().map_or(0, Matrices::bytes)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let inputs = io.inputs.clone();
        let optional = |index: usize| inputs.get(index).copied().flatten();
        let a = io.input(0)?;
        let packed;
        let matrices = match &self.constant {
            Some(constant) => constant,
            None => {
                packed = Matrices::new(self.set, io.input(1)?, optional(3))?;
                &packed
            }
        };
        let (&[k, n], Some(&own_k), [right, ..]) = (&matrices.shape[..], a.shape.last(), &matrices.all[..]) else {
            return Err(Error::internal("operands of other ranks were not refused"));
        };
        if k != own_k {
            return Err(Error::invalid_input(format!("rows of {own_k} bytes times a matrix of {k} rows")));
        }
        let left = Left::new(self.set, a, optional(2), 1, 1)?;
        let scale = io.input(4)?.slice::<f32>()?;
        let scales = match scale {
            &[scale] => vec![scale; n],
            scales => scales.to_vec(),
        };
        let epilogue = epilogue::of(io, BIAS, self.op.activation, self.op.layer_norm)?;
        right.multiply_numbers(self.set, &left, &scales, epilogue, io.output(0)?.slice()?)
    }
}

fn cases() -> Vec<Case> {
    let bytes = |shape: &[usize], seed: usize| {
        let all: Vec<u8> = (0..shape.iter().product()).map(|at| ((at * 97 + seed * 31) % 251) as u8).collect();
        Tensor::new(shape, &all).expect("one byte an index")
    };
    let signed = |shape: &[usize], seed: usize| {
        let all: Vec<i8> = bytes(shape, seed).bytes().iter().map(|&x| x as i8).collect();
        Tensor::new(shape, &all).expect("one byte an index")
    };
    let case = |name: &str| Case::new(name, ScaledIntegerProduct::default());
    let fused = |name: &str, activation: Activation| {
        Case::new(name, ScaledIntegerProduct { activation, layer_norm: Some(1e-5) })
    };
    vec![
        case("signed weights")
            .tensor(bytes(&[2, 17, 70], 1))
            .constant_tensor(signed(&[70, 33], 2))
            .tensor(Tensor::scalar(113u8))
            .constant_tensor(Tensor::scalar(0i8))
            .tensor(Tensor::scalar(0.003f32))
            .constant(&[33], Fill::Spread),
        case("of columns")
            .tensor(signed(&[5, 9], 1))
            .constant_tensor(bytes(&[9, 3], 2))
            .constant_tensor(Tensor::scalar(-7i8))
            .constant_tensor(Tensor::new([3], &[0u8, 113, 255]).expect("three"))
            .constant(&[3], Fill::Positive),
        case("no zero points, weights of the run")
            .tensor(bytes(&[4, 64], 1))
            .tensor(signed(&[64, 5], 2))
            .absent()
            .absent()
            .constant_tensor(Tensor::scalar(0.5f32)),
        fused("all", Activation::Gelu)
            .tensor(bytes(&[2, 35, 66], 1))
            .constant_tensor(signed(&[66, 75], 2))
            .tensor(Tensor::scalar(113u8))
            .constant_tensor(Tensor::scalar(0i8))
            .tensor(Tensor::scalar(0.0003f32))
            .constant(&[75], Fill::Spread)
            .value(&[2, 35, 75], Fill::Spread)
            .constant(&[75], Fill::Spread)
            .constant(&[75], Fill::Spread),
        fused("all, shifted weights", Activation::Relu)
            .tensor(bytes(&[6, 66], 1))
            .constant_tensor(bytes(&[66, 40], 2))
            .tensor(Tensor::scalar(113u8))
            .constant_tensor(Tensor::scalar(9u8))
            .tensor(Tensor::scalar(0.0003f32))
            .absent()
            .value(&[6, 40], Fill::Spread)
            .constant(&[40], Fill::Spread),
        fused("all, weights shifted apart", Activation::Relu)
            .tensor(bytes(&[6, 66], 1))
            .constant_tensor(bytes(&[66, 2], 2))
            .tensor(Tensor::scalar(113u8))
            .constant_tensor(Tensor::new([2], &[0u8, 255]).expect("two"))
            .tensor(Tensor::scalar(0.0003f32))
            .constant(&[2], Fill::Spread)
            .value(&[6, 2], Fill::Spread)
            .constant(&[2], Fill::Spread),
        case("no sums")
            .tensor(bytes(&[3, 0], 1))
            .tensor(signed(&[0, 2], 2))
            .absent()
            .absent()
            .tensor(Tensor::scalar(2f32))
            .constant(&[2], Fill::Spread),
    ]
}
