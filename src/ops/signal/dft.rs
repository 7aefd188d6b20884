//! `DFT`: discrete Fourier transforms along an axis.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::fourier::{Complex, Fourier},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// A transform along one axis of real or complex numbers, whose parts are the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Dft {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// The length of the transform, where it is not the axis': the axis is cut, or zeros follow.
    pub length: Option<Dim>,
    /// Whether it is the inverse transform.
    pub inverse: bool,
    /// Whether the second half of the frequencies is left out, as those of real numbers mirror the
    /// first. The inverse then takes such a half, and makes real numbers.
    pub onesided: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "DFT",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<Dft>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (inverse, onesided) = (node.flag("inverse", false)?, node.flag("onesided", false)?);
    let axis = match node.opset() {
        ..20 => node.int("axis")?.unwrap_or(1),
        _ => match node.take_numbers(2)?.as_deref() {
            None => -2,
            Some(&[axis]) => axis,
            Some(_) => return Err(Error::invalid_model("the axis must be one integer")),
        },
    };
    let length = match node.take_integers(1)?.map(<[Dim; 1]>::try_from) {
        None => None,
        Some(Ok([length])) => Some(length),
        Some(Err(_)) => return Err(Error::invalid_model("the length of the transform must be one integer")),
    };
    Ok(Arc::new(Dft { axis, length, inverse, onesided }))
}

impl Dft {
    /// The axis, which is not the last.
    fn axis(&self, shape: &Shape) -> Result<usize> {
        let axis = shape.axis(self.axis)?;
        let fits = axis + 1 < shape.rank();
        fits.then_some(axis).ok_or_else(|| Error::invalid_model(format!("a transform along the last axis of {shape}")))
    }

    /// Whether the results are real.
    fn makes_real(&self) -> bool {
        self.inverse && self.onesided
    }
}

impl Operator for Dft {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if !matches!(input.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("a transform of {input}; only f32 and f64 are")));
        }
        let axis = self.axis(&input.shape)?;
        let mut dims = input.shape.dims().to_vec();
        let parts = dims.last().and_then(Dim::as_fixed);
        if !matches!(parts, Some(1 | 2)) {
            return Err(Error::invalid_model(format!("a transform of {input}: expected a last axis of 1 or 2")));
        }
        if self.onesided && !self.inverse && parts == Some(2) {
            return Err(Error::invalid_model(format!("the half of a transform of the complex numbers {input}")));
        }
        let one = Dim::from(1);
        let length = match &self.length {
            Some(length) => length.clone(),
            None if self.makes_real() => &(&dims[axis] - &one) * &Dim::from(2),
            None => dims[axis].clone(),
        };
        inputs.assume(Condition::at_least("the length of a transform", &length, &one))?;
        dims[axis] = match self.onesided && !self.inverse {
            true => &length.floor_div(&Dim::from(2)) + &one,
            false => length,
        };
        let last = dims.len() - 1;
        dims[last] = Dim::from(if self.makes_real() { 1 } else { 2 });
        Ok(vec![Fact::new(input.dtype, Shape::new(dims))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let (own, symbol, shape) = (axes[0]?, size.as_symbol()?, &inputs.fact(0)?.shape);
        let fixed = self.length.as_ref().is_none_or(|length| !length.mentions(symbol));
        (fixed && own != self.axis(shape).ok()? && own + 1 < shape.rank()).then(|| vec![Some(own)])
    }
}

fn run(op: &Dft, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let axis = op.axis(&Shape::fixed(input.shape))?;
    let shape = io.output(0)?.shape;
    let (parts, made_parts) = (input.shape[input.shape.len() - 1], if op.makes_real() { 1 } else { 2 });
    let inner: usize = input.shape[axis + 1..input.shape.len() - 1].iter().product();
    let (size, made) = (input.shape[axis], shape[axis]);
    let length = match (&op.length, op.onesided && !op.inverse) {
        (Some(length), true) => usize::try_from(length.eval(io.bindings)?).unwrap_or(made),
        (None, true) => size,
        _ => made,
    };
    let numbers = wide::read(input)?;
    let mut results = vec![0.0; shape.iter().product()];
    let fourier = Fourier::new(length);
    let mut list = vec![[0.0; 2]; length];
    for column in 0..numbers.len() / (size * parts).max(1) {
        let (outer, within) = (column / inner, column % inner);
        let number = |at: usize| -> Complex {
            let place = ((outer * size + at) * inner + within) * parts;
            [numbers[place], if parts == 2 { numbers[place + 1] } else { 0.0 }]
        };
        list.fill([0.0; 2]);
        if op.makes_real() {
            // The other half mirrors the given one; frequencies that are their own mirror are real.
            for at in 0..size.min(length / 2 + 1) {
                let [real, imaginary] = number(at);
                let mirror = (length - at) % length;
                list[at] = [real, if at == mirror { 0.0 } else { imaginary }];
                list[mirror] = [real, -list[at][1]];
            }
        } else {
            (0..size.min(length)).for_each(|at| list[at] = number(at));
        }
        if op.inverse {
            fourier.inverse(&mut list)
        } else {
            fourier.transform(&mut list)
        }
        for (at, number) in list[..made].iter().enumerate() {
            let place = ((outer * made + at) * inner + within) * made_parts;
            results[place..place + made_parts].copy_from_slice(&number[..made_parts]);
        }
    }
    wide::write(io.output(0)?, &results)
}

fn cases() -> Vec<Case> {
    let along = |axis| Dft { axis, length: None, inverse: false, onesided: false };
    let of = |length: usize, axis| Dft { length: Some(Dim::from(length)), ..along(axis) };
    let double = Tensor::new([1, 3, 2], &[1f64, 0.5, -0.25, 2.0, 3.0, -1.0]).expect("six numbers");
    vec![
        Case::new("real", along(1)).value(&[2, 12, 1], Fill::Spread),
        Case::new("complex", along(-2)).value(&[2, 3, 7, 2], Fill::Spread),
        Case::new("first axis", along(0)).value(&[8, 3, 2], Fill::Spread),
        Case::new("half", Dft { onesided: true, ..along(1) }).value(&[2, 10, 1], Fill::Spread),
        Case::new("half of an odd number", Dft { onesided: true, ..along(1) }).value(&[2, 9, 2, 1], Fill::Spread),
        Case::new("inverse", Dft { inverse: true, ..along(1) }).value(&[2, 9, 2], Fill::Spread),
        Case::new("inverse of real", Dft { inverse: true, ..along(1) }).value(&[1, 6, 1], Fill::Spread),
        Case::new("inverse of a half", Dft { inverse: true, onesided: true, ..along(1) })
            .value(&[2, 6, 2], Fill::Spread),
        Case::new("inverse of a half to an odd number", Dft { inverse: true, onesided: true, ..of(9, 1) })
            .value(&[2, 6, 2], Fill::Spread),
        Case::new("longer", of(13, 1)).value(&[1, 6, 2], Fill::Spread),
        Case::new("shorter", of(5, 1)).value(&[2, 8, 1], Fill::Spread),
        Case::new("half of a longer", Dft { onesided: true, ..of(9, 1) }).value(&[1, 6, 1], Fill::Spread),
        Case::new("f64", along(1)).tensor(double),
        Case::new("empty", along(1)).value(&[0, 4, 2], Fill::Spread),
    ]
}
