//! A product of bytes as numbers: the sums times scales, plus a bias.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::KernelSet,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{
        product::matmul::{MatMul, result_shape},
        quantized::{
            centered::{is_bytes, is_one},
            product::{Left, Matrices},
        },
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// `(a - its zero point)(b - its zero points)` in exact sums, times a scale, plus a bias.
///
/// Operands: `a`, a matrix `b`, the zero points of both, which may be absent and are one or, of `b`, one for each of
/// its `N` columns, f32 scales (one or `N`), and `N` summands, which may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaledIntegerProduct;

pub(crate) static DEF: OpDef = OpDef {
    name: "ScaledIntegerProduct",
    onnx: None,
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("bytes are multiplied on the host"),
};

impl Operator for ScaledIntegerProduct {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(5, 6)?;
        let (a, b, scale) = (inputs.required(0)?, inputs.required(1)?, inputs.required(4)?);
        if !is_bytes(a) || !is_bytes(b) || b.shape.rank() != 2 || a.shape.rank() == 0 {
            return Err(Error::invalid_model(format!("a product of {a} and {b}")));
        }
        let row = Shape::new(vec![b.shape[1].clone()]);
        let fits = |index: usize, dtype: DType, may_be_row: bool| {
            inputs.fact(index).is_none_or(|own| own.dtype == dtype && (is_one(own) || (may_be_row && own.shape == row)))
        };
        let is_bias = inputs.fact(5).is_none_or(|bias| bias.dtype == DType::F32 && bias.shape == row);
        if !fits(2, a.dtype, false) || !fits(3, b.dtype, true) || !fits(4, DType::F32, true) || !is_bias {
            return Err(Error::invalid_model(format!("zero points, scales {scale} and a bias for a product with {b}")));
        }
        Ok(vec![Fact::new(DType::F32, result_shape(inputs, &a.shape, &b.shape)?)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = axes[1..].iter().all(Option::is_none);
        let known = MatMul::item_axis(&inputs.fact(0)?.shape, &inputs.fact(1)?.shape, axes[0], None);
        if apart { known } else { None }
    }
}

struct Kernel {
    set: KernelSet,
    /// A constant right operand.
    constant: Option<Matrices>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { set: request.kernel_set(), constant: Matrices::constant(request, 1, 3)? }))
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
        let bias = optional(5).map(|view| view.slice::<f32>()).transpose()?;
        right.multiply_scaled(self.set, &left, &scales, bias, io.output(0)?.slice()?)
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
    let case = |name: &str| Case::new(name, ScaledIntegerProduct);
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
        case("no sums")
            .tensor(bytes(&[3, 0], 1))
            .tensor(signed(&[0, 2], 2))
            .absent()
            .absent()
            .tensor(Tensor::scalar(2f32))
            .constant(&[2], Fill::Spread),
    ]
}
