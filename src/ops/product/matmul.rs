//! `MatMul`: matrix products with NumPy's broadcasting of leading dimensions.

mod kernel;

use std::sync::Arc;

pub(crate) use kernel::pack_all;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator, case::with_specials},
    shape::{Dim, Shape},
    tensor::DType,
};

/// `[..., M, K]` times `[..., K, N]`.
///
/// An operand of one dimension is a row on the left and a column on the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatMul {}

pub(crate) static DEF: OpDef = OpDef {
    name: "MatMul",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel::kernel),
    gpu: GpuState::Kernel("matmul"),
};

fn decode(_node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(MatMul {}))
}

impl Operator for MatMul {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (a, b) = (inputs.required(0)?, inputs.required(1)?);
        if a.dtype != DType::F32 || b.dtype != DType::F32 {
            return Err(Error::unsupported(format!("a product of {a} and {b}; only f32 is")));
        }
        Ok(vec![Fact::new(DType::F32, result_shape(inputs, &a.shape, &b.shape)?)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        Self::item_axis(&inputs.fact(0)?.shape, &inputs.fact(1)?.shape, axes[0], axes[1])
    }
}

/// The shape of the product of operands of these shapes.
///
/// # Errors
/// When they do not fit.
pub(crate) fn result_shape(inputs: &Inputs<'_>, a: &Shape, b: &Shape) -> Result<Shape> {
    let misfit = || Error::invalid_model(format!("{a} times {b}: the shapes do not fit"));
    let ([.., a_k], [.., b_last]) = (a.dims(), b.dims()) else { return Err(misfit()) };
    let (b_k, column) = match b.dims() {
        [.., k, n] => (k, Some(n)),
        _ => (b_last, None),
    };
    inputs.equal("the summed axis", a_k, b_k).map_err(|_| misfit())?;
    let leading = |shape: &Shape| Shape::new(&shape.dims()[..shape.rank().saturating_sub(2)]);
    let mut dims = inputs.broadcast(&leading(a), &leading(b)).map_err(|_| misfit())?.dims().to_vec();
    if let [.., m, _] = a.dims() {
        dims.push(m.clone());
    }
    dims.extend(column.cloned());
    Ok(Shape::new(dims))
}

impl MatMul {
    /// The items' axis of the result, as [`Operator::batch_axes`], of operands of these shapes.
    pub(crate) fn item_axis(
        a: &Shape,
        b: &Shape,
        a_axis: Option<usize>,
        b_axis: Option<usize>,
    ) -> Option<Vec<Option<usize>>> {
        let axes = [a_axis, b_axis];
        // The items' axis; leading dimensions are counted from the right.
        #[derive(PartialEq, Clone, Copy)]
        enum ItemAxis {
            Leading(usize),
            Row,
            Column,
        }
        let item_axis = |axis: usize, rank: usize, left: bool| match rank - 1 - axis {
            0 if left || rank == 1 => None,
            0 => Some(ItemAxis::Column),
            1 if left => Some(ItemAxis::Row),
            1 => None,
            leading => Some(ItemAxis::Leading(leading)),
        };
        let own = match (axes[0], axes[1]) {
            (None, None) => return Some(vec![None]),
            (Some(own), None) => item_axis(own, a.rank(), true)?,
            (None, Some(own)) => item_axis(own, b.rank(), false)?,
            (Some(left), Some(right)) => {
                let left = item_axis(left, a.rank(), true)?;
                (Some(left) == item_axis(right, b.rank(), false)).then_some(left)?
            }
        };
        let removed = usize::from(a.rank() == 1) + usize::from(b.rank() == 1);
        let rank = a.rank().max(2).max(b.rank()) - removed;
        match own {
            ItemAxis::Row => Some(vec![Some(rank + usize::from(b.rank() == 1) - 2)]),
            ItemAxis::Column => Some(vec![Some(rank - 1)]),
            ItemAxis::Leading(from_end) => {
                // The other operand must not vary along that axis.
                let alike = |shape: &Shape, axis: Option<usize>| {
                    axis.is_some()
                        || shape.rank() <= from_end
                        || shape[shape.rank() - 1 - from_end].as_fixed() == Some(1)
                };
                let apart = alike(a, axes[0]) && alike(b, axes[1]);
                apart.then(|| vec![Some(rank + removed - 1 - from_end)])
            }
        }
    }
}

/// The sizes of a product.
pub(crate) struct Sizes<'a> {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Leading dimensions.
    pub a: &'a [usize],
    pub b: &'a [usize],
}

impl<'a> Sizes<'a> {
    /// # Errors
    /// When the operands do not fit.
    pub(crate) fn of(a: &'a [usize], b: &'a [usize]) -> Result<Self> {
        let misfit = || Error::invalid_input(format!("{a:?} times {b:?}: the shapes do not fit"));
        let (leading_a, m, k) = match a {
            [leading @ .., m, k] => (leading, *m, *k),
            [k] => (&a[..0], 1, *k),
            [] => return Err(misfit()),
        };
        let (leading_b, b_k, n) = match b {
            [leading @ .., k, n] => (leading, *k, *n),
            [k] => (&b[..0], *k, 1),
            [] => return Err(misfit()),
        };
        if k != b_k {
            return Err(misfit());
        }
        Ok(Self { m, k, n, a: leading_a, b: leading_b })
    }

    /// The leading dimensions of a result of shape `y`.
    ///
    /// # Errors
    /// When those of an operand do not broadcast to them.
    pub(crate) fn leading<'y>(&self, a: &[usize], b: &[usize], y: &'y [usize]) -> Result<&'y [usize]> {
        let trailing = usize::from(a.len() > 1) + usize::from(b.len() > 1);
        let whole = &y[..y.len() - trailing];
        for own in [self.a, self.b] {
            let fits = |(own, whole): (&usize, &usize)| own == whole || *own == 1;
            if !own.iter().rev().zip(whole.iter().rev()).all(fits) {
                return Err(Error::invalid_input(format!("{a:?} times {b:?}: the shapes do not fit")));
            }
        }
        Ok(whole)
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str| Case::new(name, MatMul {});
    let spread = Fill::Spread;
    vec![
        case("constant").value(&[13, 37], spread).constant(&[37, 45], spread),
        case("batched by a constant").value(&[2, 3, 5, 19], spread).constant(&[19, 33], spread),
        case("deep").value(&[3, 1500], spread).constant(&[1500, 70], spread),
        case("one row").value(&[1, 64], spread).constant(&[64, 257], spread),
        case("one column").value(&[31, 64], spread).constant(&[64, 1], spread),
        case("batch of constants").value(&[3, 5, 8], spread).constant(&[3, 8, 6], spread),
        case("run time").value(&[15, 18], spread).value(&[18, 20], spread),
        case("run time, batched").value(&[2, 3, 7, 9], spread).value(&[2, 3, 9, 5], spread),
        case("broadcast left").value(&[1, 7, 9], spread).value(&[4, 9, 5], spread),
        case("broadcast both").value(&[2, 1, 7, 9], spread).value(&[3, 9, 5], spread),
        case("broadcast right").value(&[2, 3, 7, 9], spread).value(&[9, 5], spread),
        case("constant left").constant(&[7, 9], spread).value(&[2, 9, 5], spread),
        case("row vector").value(&[9], spread).value(&[2, 9, 5], spread),
        case("column vector").value(&[2, 4, 9], spread).constant(&[9], spread),
        case("two vectors").value(&[9], spread).value(&[9], spread),
        case("specials").tensor(with_specials(&[9, 24], 0)).constant(&[24, 40], spread),
        case("large").value(&[9, 24], Fill::Large).constant(&[24, 40], Fill::Large),
        case("empty sum").value(&[3, 0], spread).value(&[0, 4], spread),
        case("empty sum, constant").value(&[3, 0], spread).constant(&[0, 4], spread),
        case("no rows").value(&[0, 5], spread).constant(&[5, 4], spread),
        case("no columns").value(&[3, 5], spread).value(&[5, 0], spread),
        case("no batch").value(&[0, 3, 5], spread).value(&[1, 5, 2], spread),
    ]
}
