//! The labels of a classifier.

use crate::{
    error::{Error, Result},
    op::{KernelRequest, OnnxNode},
    tensor::{DType, ViewMut},
};

/// The labels of the classes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Integers.
    Integers(Vec<i64>),
    /// Texts.
    Strings(Vec<String>),
}

impl Labels {
    /// Reads the attributes of these names, of which one must hold labels.
    pub(crate) fn decode(node: &mut OnnxNode<'_>, integers: &str, strings: &str) -> Result<Self> {
        let given = node.ints(integers)?.filter(|all| !all.is_empty());
        match (given, node.strings(strings)?.filter(|all| !all.is_empty())) {
            (Some(integers), None) => Ok(Self::Integers(integers)),
            (None, Some(strings)) => Ok(Self::Strings(strings)),
            (None, None) => Err(Error::invalid_model(format!("neither `{integers}` nor `{strings}` is given"))),
            (Some(_), Some(_)) => Err(Error::invalid_model(format!("both `{integers}` and `{strings}` are given"))),
        }
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(all) => all.len(),
            Self::Strings(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels for people.
    #[cfg(feature = "onnx")]
    pub(crate) fn describe(&self) -> String {
        const SHOWN: usize = 32;
        let shown = match self {
            Self::Integers(all) => format!("{:?}", &all[..all.len().min(SHOWN)]),
            Self::Strings(all) => format!("{:?}", &all[..all.len().min(SHOWN)]),
        };
        let more = self.len().saturating_sub(SHOWN);
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    }

    /// The labels' type.
    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::Integers(_) => DType::I64,
            Self::Strings(_) => DType::String,
        }
    }

    /// The labels as elements of a result.
    pub(crate) fn elements(&self, request: &KernelRequest<'_>) -> Vec<u64> {
        match self {
            Self::Integers(all) => all.iter().map(|label| label.cast_unsigned()).collect(),
            Self::Strings(all) => all.iter().map(|label| request.string(label)).collect(),
        }
    }
}

/// A result of labels, for writing their elements.
pub(super) fn slots<'a>(output: &'a mut ViewMut<'_>) -> &'a mut [u64] {
    bytemuck::cast_slice_mut(output.bytes)
}

/// The position of the largest score; of equals the first, and NaN never.
pub(super) fn largest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (index, &score) in scores.iter().enumerate() {
        if score > scores[best] || (scores[best].is_nan() && !score.is_nan()) {
            best = index;
        }
    }
    best
}
