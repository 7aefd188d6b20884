//! `ZipMap`: scores with the names of their classes.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::tabular::{Labels, rows},
    shape::Dim,
    tensor::DType,
};

/// A map from classes to scores for each row: the scores themselves, whose columns are the classes
/// in order.
#[derive(Clone, Debug, PartialEq)]
pub struct ZipMap {
    /// The classes.
    pub labels: Labels,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.ZipMap",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::View,
    gpu: GpuState::View,
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(ZipMap { labels: Labels::decode(node, "classlabels_int64s", "classlabels_strings")? }))
}

impl Operator for ZipMap {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if input.dtype != DType::F32 {
            return Err(Error::invalid_model(format!("scores of {}", input.dtype)));
        }
        let (_, columns) = rows::table(input)?;
        rows::check_columns(&columns, self.labels.len())?;
        Ok(vec![Fact::new(DType::F32, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

fn cases() -> Vec<Case> {
    let of = |labels| Case::new("scores", ZipMap { labels });
    vec![
        of(Labels::Integers(vec![3, 1])).value(&[4, 2], Fill::Spread),
        of(Labels::Strings(vec!["a".into(), "b".into(), "c".into()])).value(&[2, 3], Fill::Spread),
    ]
}
