//! `Reshape`: the same elements under another shape.

use std::sync::Arc;

use crate::{
    error::{Context, Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::tokens,
    shape::{Condition, Dim, Shape},
};

/// The same elements in the same order under another shape.
///
/// ONNX's `Squeeze`, `Unsqueeze` and `Flatten` are decoded as this operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    /// The new dimensions. One may be -1: inferred from the others.
    pub shape: Vec<Dim>,
    /// Whether 0 copies the input's dimension at that position, ONNX's default.
    pub zero_copies: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Reshape",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::View,
    gpu: GpuState::View,
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    tokens::refuse(node)?;
    let zero_copies = !node.flag("allowzero", false)?;
    let attribute = node.ints("shape")?.map(|shape| shape.into_iter().map(Dim::number).collect());
    let shape = match attribute {
        Some(shape) => shape,
        None => node.take_integers(1)?.ok_or_else(|| Error::invalid_model("the new shape is missing"))?,
    };
    Ok(Arc::new(Reshape { shape, zero_copies }))
}

impl Reshape {
    /// A reshape to exactly these dimensions.
    pub fn to(shape: &Shape) -> Self {
        Self { shape: shape.dims().to_vec(), zero_copies: false }
    }

    fn resolve(&self, inputs: &Inputs<'_>, input: &Shape) -> Result<Shape> {
        let mut dims = self.shape.clone();
        let left: Vec<usize> = (0..dims.len()).filter(|&axis| dims[axis].as_fixed() == Some(-1)).collect();
        for (axis, dim) in dims.iter_mut().enumerate().filter(|_| self.zero_copies) {
            *dim = copied(inputs, input.dims().get(axis), dim, !left.is_empty())
                .context(|| format!("axis {axis} of {input}"))?;
        }
        let total = input.elements();
        if let [axis] = left[..] {
            dims[axis] = Dim::from(1);
            let known = Shape::new(dims.clone()).elements();
            dims[axis] = match (known.as_fixed(), total.exact_div(&known)) {
                (Some(0), _) => Dim::from(0),
                (_, Some(rest)) => rest,
                (_, None) if total.as_fixed().is_none() || known.as_fixed().is_none() => {
                    let (total, known) = total.cancel(&known);
                    total.floor_div(&known)
                }
                _ => return Err(Error::invalid_model(format!("{input} cannot be viewed as {:?}", self.shape))),
            };
        }
        let shape = Shape::new(dims);
        // Where sizes are given, the run may measure what is too long to be told before.
        if self.shape.iter().any(|dim| dim.as_fixed().is_none()) {
            let elements = Shape::new(vec![shape.elements(), total.clone()]);
            if let Some(reason) = shape.not_kept().or_else(|| elements.not_kept()) {
                return Err(Error::unsupported(reason));
            }
        }
        match (shape.elements().as_fixed(), total.as_fixed()) {
            (Some(new), Some(old)) if new != old => {
                Err(Error::invalid_model(format!("{input} cannot be viewed as {shape}")))
            }
            _ if left.len() > 1 => Err(Error::invalid_model("more than one dimension is -1")),
            _ => {
                let (new, old) = shape.elements().cancel(&total);
                let misfit = |_| Error::invalid_model(format!("{input} cannot be viewed as {shape}"));
                inputs.assume(Condition::equal("the new shape", &new, &old)).map_err(misfit)?;
                Ok(shape)
            }
        }
    }
}

/// A dimension of the new shape where 0 stands for the input's dimension `own` at that position.
///
/// `inferred` says whether another dimension is inferred, so that any number of elements may fit.
fn copied(inputs: &Inputs<'_>, own: Option<&Dim>, dim: &Dim, inferred: bool) -> Result<Dim> {
    match (dim.as_fixed(), own) {
        (Some(0), Some(own)) => Ok(own.clone()),
        (Some(0), None) => Err(Error::invalid_model("there is no dimension that a shape of 0 could copy")),
        (Some(_), _) => Ok(dim.clone()),
        (None, Some(own)) if own.exact_div(dim).is_some() => Ok(dim.clone()),
        (None, Some(own)) if inferred && (dim.as_symbol().is_none() || inputs.is_measured_size(dim)) => {
            Ok(dim.or_else(own))
        }
        (None, _) => {
            // With the input's dimension 0 as well, the two agree.
            let rest = own.and_then(|own| dim.exact_div(own)).unwrap_or_else(|| dim.clone());
            inputs.assume(Condition::at_least("a computed dimension of the new shape", &rest, &Dim::from(1)))?;
            Ok(dim.clone())
        }
    }
}

impl Operator for Reshape {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        Ok(vec![Fact::new(input.dtype, self.resolve(inputs, &input.shape)?).with_elements(input.elements.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let Some(axis) = axes[0] else { return Some(vec![None]) };
        let input = &inputs.fact(0)?.shape;
        let output = self.resolve(inputs, input).ok()?;
        // Items stay independent if as many elements precede and follow their axis as before.
        let before = |shape: &Shape, axis: usize| Shape::new(&shape.dims()[..axis]).elements();
        let kept = (0..output.rank()).find(|&own| output[own] == *size && before(&output, own) == before(input, axis));
        kept.map(|own| vec![Some(own)])
    }
}

fn cases() -> Vec<Case> {
    let to = |shape: &[i64]| Reshape { shape: shape.iter().copied().map(Dim::number).collect(), zero_copies: true };
    vec![
        Case::new("flat", to(&[-1])).value(&[2, 3, 4], Fill::Hostile),
        Case::new("zero copies", to(&[0, 4, -1])).value(&[3, 8, 2], Fill::Spread),
        Case::new("to a scalar", to(&[])).value(&[1, 1], Fill::Spread),
        Case::new("empty", to(&[0, 5])).value(&[0, 5], Fill::Spread),
    ]
}
