//! Trees as operators hold them, and how their attributes are read.

mod attributes;
pub mod cases;
mod modes;

use std::sync::Arc;

pub(super) use attributes::{Names, Numbers, Read, numbers, read};
pub use modes::{Mode, Number};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::trees::{Combine, Forest},
    op::{OnnxNode, Shapes},
    ops::tabular::rows,
    tensor::{DType, View},
};

/// Decision trees with thresholds of one type.
#[derive(Clone, Debug)]
pub enum Trees {
    /// Thresholds and features in single precision.
    #[doc(hidden)]
    F32(Arc<Forest<f32>>),
    /// In double precision.
    #[doc(hidden)]
    F64(Arc<Forest<f64>>),
}

impl Trees {
    /// The type in which features are compared.
    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::F32(forest) => forest.columns(),
            Self::F64(forest) => forest.columns(),
        }
    }

    /// The number of trees.
    fn len(&self) -> usize {
        match self {
            Self::F32(forest) => forest.trees(),
            Self::F64(forest) => forest.trees(),
        }
    }

    /// The bytes of all nodes and weights.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::F32(forest) => forest.bytes(),
            Self::F64(forest) => forest.bytes(),
        }
    }

    /// Refuses rows with fewer features than the trees test.
    pub(super) fn check(&self, input: &Fact) -> Result<()> {
        let (_, columns) = rows::table(input)?;
        match columns.as_fixed() {
            Some(own) if own < self.columns() as i64 => {
                let asked = self.columns();
                Err(Error::invalid_model(format!("rows of {own} features, where the trees test {asked}")))
            }
            _ => Ok(()),
        }
    }

    /// The scratch of [`score`](Self::score) for operand 0, of type `from`.
    pub(super) fn scratch_bytes(&self, shapes: &Shapes<'_>, from: DType, targets: usize) -> usize {
        let shape = shapes.inputs.first().copied().flatten().unwrap_or_default();
        let scores = rows::sizes(shape).0.saturating_mul(targets).saturating_mul(size_of::<f64>());
        rows::converted_bytes(shapes, from, self.dtype()).saturating_add(scores)
    }

    /// The combined weights of each row, `targets` a row.
    pub(super) fn score<'a>(
        &self,
        view: View<'a>,
        aggregate: Aggregate,
        targets: usize,
        scratch: &'a mut [u8],
    ) -> Result<&'a mut [f64]> {
        let (count, columns) = rows::sizes(view.shape);
        let (scores, rest) = scratch.split_at_mut(count * targets * size_of::<f64>());
        let scores: &mut [f64] = bytemuck::cast_slice_mut(scores);
        let view = rows::convert(view, self.dtype(), rest)?;
        match self {
            Self::F32(forest) => forest.score(view.slice()?, columns, aggregate.combine(), scores)?,
            Self::F64(forest) => forest.score(view.slice()?, columns, aggregate.combine(), scores)?,
        }
        if aggregate == Aggregate::Average {
            scores.iter_mut().for_each(|score| *score /= self.len() as f64);
        }
        // A target without weights.
        scores.iter_mut().filter(|score| score.is_nan()).for_each(|score| *score = 0.0);
        Ok(scores)
    }
}

/// How the weights of trees are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum divided by the number of trees.
    Average,
    /// Their sum.
    #[default]
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Aggregate {
    /// Reads the attribute `aggregate_function`.
    pub(super) fn decode(node: &mut OnnxNode<'_>) -> Result<Self> {
        match node.string("aggregate_function")?.as_deref() {
            None | Some("SUM") => Ok(Self::Sum),
            Some("AVERAGE") => Ok(Self::Average),
            Some("MIN") => Ok(Self::Min),
            Some("MAX") => Ok(Self::Max),
            Some(other) => Err(Error::invalid_model(format!("the aggregate function `{other}`"))),
        }
    }

    fn combine(self) -> Combine {
        match self {
            Self::Average | Self::Sum => Combine::Sum,
            Self::Min => Combine::Min,
            Self::Max => Combine::Max,
        }
    }
}
