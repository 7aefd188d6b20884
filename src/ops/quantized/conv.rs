//! `ConvInteger` and `QLinearConv`: convolutions of bytes.

mod run;
mod taps;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::{
        conv::{Conv, symbolic_weights},
        pool::window::Pads,
        quantized::centered::{is_bytes, is_one},
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// A convolution of bytes, less their zero points.
///
/// Operands with 32-bit results: the input, the weights, and zero points, which may be absent. With
/// quantized results: the input, its scale and zero point, the weights, theirs, the result's scale
/// and zero point, and a bias of 32-bit integers, which may be absent.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedConv {
    /// The window and the groups; channels first, without activation.
    pub conv: Conv,
    /// Whether the result has a scale of its own, rather than being the sums.
    pub scaled: bool,
}

macro_rules! def {
    ($constant:ident, $name:literal, $scaled:literal) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some(|node| decode(node, $scaled)),
            cases: || cases($scaled),
            accuracy: Accuracy::Exact,
            cpu: CpuState::Kernel(run::kernel),
            gpu: GpuState::Host("bytes are multiplied on the host"),
        };
    };
}
def!(INTEGER, "ConvInteger", false);
def!(LINEAR, "QLinearConv", true);

fn decode(node: &mut OnnxNode<'_>, scaled: bool) -> Result<Arc<dyn Operator>> {
    let conv = Conv::decode(node, if scaled { 3 } else { 1 })?;
    Ok(Arc::new(QuantizedConv { conv, scaled }))
}

impl QuantizedConv {
    /// Where the weights and the zero points of both are.
    fn places(&self) -> [usize; 3] {
        if self.scaled { [3, 2, 5] } else { [1, 2, 3] }
    }
}

impl Operator for QuantizedConv {
    fn def(&self) -> &'static OpDef {
        if self.scaled { &LINEAR } else { &INTEGER }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [w, x_zero, w_zero] = self.places();
        inputs.expect(if self.scaled { 8 } else { 2 }, if self.scaled { 9 } else { 4 })?;
        let (x, weights) = (inputs.required(0)?, inputs.required(w)?);
        let (rank, groups, window) = (self.conv.kernel.len(), self.conv.groups, self.conv.window());
        window.check(rank)?;
        if !(1..=3).contains(&rank) || !is_bytes(x) || !is_bytes(weights) {
            return Err(Error::unsupported(format!("a quantized convolution of {x} and {weights}")));
        }
        let dims = weights.shape.as_fixed().ok_or_else(|| symbolic_weights(&weights.shape))?;
        let dims = Some(dims).filter(|dims| {
            dims.len() == rank + 2 && dims[2..] == self.conv.kernel && groups > 0 && dims[0].is_multiple_of(groups)
        });
        let misfit = || Error::invalid_model(format!("an input {x} for weights {weights} of {groups} groups"));
        let dims = dims.ok_or_else(misfit)?;
        let channels = dims[1].saturating_mul(groups) as i64;
        if x.shape.rank() != rank + 2 {
            return Err(misfit());
        }
        inputs.equal("the axis of channels", &Dim::number(channels), &x.shape[1]).map_err(|_| misfit())?;
        let one = |index: usize| inputs.fact(index).is_none_or(is_one);
        let of_filters =
            |index: usize| inputs.fact(index).is_none_or(|fact| is_one(fact) || fact.shape == Shape::fixed(&dims[..1]));
        let zero_type = |index: usize, of: &Fact| inputs.fact(index).is_none_or(|fact| fact.dtype == of.dtype);
        let zeros = one(x_zero) && of_filters(w_zero) && zero_type(x_zero, x) && zero_type(w_zero, weights);
        let float = |index: usize| inputs.fact(index).is_some_and(|fact| fact.dtype.is_float());
        let scales = !self.scaled || (one(1) && of_filters(4) && one(6) && one(7) && [1, 4, 6].into_iter().all(float));
        let bias = inputs.fact(8).is_none_or(|bias| bias.dtype == DType::I32 && bias.shape == Shape::fixed(&dims[..1]));
        if !zeros || !scales || !bias {
            return Err(Error::invalid_model("scales, zero points or a bias that do not fit the convolution"));
        }
        let to = if self.scaled { inputs.required(7)? } else { x };
        if self.scaled && !is_bytes(to) {
            return Err(Error::unsupported(format!("a quantized convolution with results of {}", to.dtype)));
        }
        (0..rank).try_for_each(|axis| inputs.assume(window.fits(axis, &x.shape[axis + 2])))?;
        let spatial = (0..rank).map(|axis| window.outputs(axis, &x.shape[axis + 2]));
        let shape = [x.shape[0].clone(), Dim::from(dims[0])].into_iter().chain(spatial).collect();
        Ok(vec![Fact::new(if self.scaled { to.dtype } else { DType::I32 }, shape)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = axes[1..].iter().all(Option::is_none) && axes[0].is_none_or(|axis| axis == 0);
        apart.then(|| vec![axes[0]])
    }
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
    let case = |name: &str, conv: Conv, x: Tensor, zx: Tensor, w: Tensor, zw: Tensor| {
        let (case, filters, count) = (Case::new(name, QuantizedConv { conv, scaled }), w.shape()[0], zw.len());
        if !scaled {
            return case.tensor(x).constant_tensor(w).constant_tensor(zx).constant_tensor(zw);
        }
        let scales: Vec<f32> = (0..count).map(|at| 0.01 + at as f32 / 300.0).collect();
        let scales = if count == 1 { Tensor::scalar(0.02f32) } else { Tensor::new([count], &scales).expect("as many") };
        let bias: Vec<i32> = (0..filters as i32).map(|at| at * 1000 - 900).collect();
        let case = case.tensor(x).constant_tensor(Tensor::scalar(0.03f32)).constant_tensor(zx);
        let case = case.constant_tensor(w).constant_tensor(scales).constant_tensor(zw);
        let case = case.constant_tensor(Tensor::scalar(0.9f32)).constant_tensor(Tensor::scalar(100u8));
        case.constant_tensor(Tensor::new([filters], &bias).expect("one a filter"))
    };
    let padded = Conv {
        pads: Pads::Explicit(vec![(1, 2), (0, 1)]),
        strides: vec![2, 1],
        dilations: vec![1, 2],
        ..Conv::new(vec![3, 2])
    };
    let zeros = Tensor::new([6], &[0i8, 3, -3, 100, -100, 7]).expect("six");
    vec![
        case("padded", padded.clone(), bytes(&[2, 3, 7, 8], 1), Tensor::scalar(113u8), signed(&[6, 3, 3, 2], 2), zeros),
        case(
            "groups",
            Conv { groups: 2, pads: Pads::SameUpper, ..Conv::new(vec![3]) },
            bytes(&[2, 4, 9], 1),
            Tensor::scalar(9u8),
            bytes(&[4, 2, 3], 2),
            Tensor::scalar(120u8),
        ),
        case(
            "space",
            Conv::new(vec![2, 1, 2]),
            signed(&[1, 2, 3, 2, 4], 1),
            Tensor::scalar(-5i8),
            signed(&[3, 2, 2, 1, 2], 2),
            Tensor::scalar(1i8),
        ),
        case(
            "many positions",
            Conv::new(vec![1, 1]),
            bytes(&[1, 5, 40, 41], 1),
            Tensor::scalar(0u8),
            signed(&[7, 5, 1, 1], 2),
            Tensor::scalar(0i8),
        ),
        case(
            "no items",
            padded,
            bytes(&[0, 3, 7, 8], 1),
            Tensor::scalar(1u8),
            signed(&[6, 3, 3, 2], 2),
            Tensor::scalar(0i8),
        ),
    ]
}
