//! `LinearClassifier`: the class of the largest weighted sum of features.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes,
    },
    ops::tabular::{Labels, ON_THE_HOST, PostTransform, labels, linear_regressor::Sums, rows},
    shape::{Dim, Shape},
    tensor::DType,
};

/// For each row the label of its class, and `coefficients * x + intercepts` of all classes.
///
/// With one sum it is positive for the second of two classes. Sums are in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearClassifier {
    /// The weights of each sum, one after another.
    pub coefficients: Vec<f32>,
    /// Added to each sum.
    pub intercepts: Vec<f32>,
    /// The classes.
    pub labels: Labels,
    /// What happens to the sums.
    pub post_transform: PostTransform,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.LinearClassifier",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    // One classifier a class or one for all: the sums are the same.
    node.int("multi_class")?;
    let labels = Labels::decode(node, "classlabels_ints", "classlabels_strings")?;
    let coefficients = node.floats("coefficients")?.unwrap_or_default();
    let intercepts = match node.floats("intercepts")?.filter(|all| !all.is_empty()) {
        Some(intercepts) => intercepts,
        None => vec![0.0; labels.len()],
    };
    if !coefficients.len().is_multiple_of(intercepts.len()) {
        let (weights, sums) = (coefficients.len(), intercepts.len());
        return Err(Error::invalid_model(format!("{weights} coefficients of {sums} sums")));
    }
    match (intercepts.len(), labels.len()) {
        (1, 2) => {}
        (sums, classes) if sums == classes => {}
        (sums, classes) => return Err(Error::invalid_model(format!("{sums} intercepts of {classes} classes"))),
    }
    Ok(Arc::new(LinearClassifier { coefficients, intercepts, labels, post_transform: PostTransform::decode(node)? }))
}

impl Operator for LinearClassifier {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let count = rows::counted(inputs, self.coefficients.len() / self.intercepts.len().max(1))?;
        let labels = Fact::new(self.labels.dtype(), Shape::new([count.clone()]));
        Ok(vec![labels, Fact::new(DType::F32, Shape::new([count, Dim::from(self.labels.len())]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 2)
    }
}

struct Kernel {
    sums: Sums,
    labels: Vec<u64>,
    post_transform: PostTransform,
    from: DType,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &LinearClassifier = request.op()?;
    Ok(Box::new(Kernel {
        sums: Sums::new(&op.coefficients, &op.intercepts),
        labels: op.labels.elements(request),
        post_transform: op.post_transform,
        from: request.input(0)?.dtype,
    }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        rows::converted_bytes(shapes, self.from, DType::F32)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (_, columns) = rows::sizes(input.shape);
        self.sums.check(columns)?;
        let Io { outputs, scratch, .. } = io;
        let input = rows::convert(input, DType::F32, scratch)?.slice::<f32>()?;
        let [labels, output] = &mut outputs[..] else { return Err(Error::internal("a classifier has two results")) };
        let mut scores = vec![0.0; self.labels.len()];
        let rows = output.slice::<f32>()?.chunks_exact_mut(self.labels.len()).zip(labels::slots(labels));
        for (row, (output, label)) in rows.enumerate() {
            let count = self.sums.len();
            self.sums.score(&input[row * columns..(row + 1) * columns], &mut scores[..count]);
            let class = if count == 1 { self.binary(&mut scores) } else { labels::largest(&scores) };
            *label = self.labels[class];
            if count > 1 {
                self.post_transform.apply(&mut scores);
            }
            output.iter_mut().zip(&scores).for_each(|(output, score)| *output = *score as f32);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        self.sums.bytes()
    }
}

impl Kernel {
    /// The class of a row with one sum, which becomes the scores of two classes.
    fn binary(&self, scores: &mut [f64]) -> usize {
        let score = scores[0];
        match self.post_transform {
            PostTransform::Logistic => {
                scores.copy_from_slice(&[-score, score]);
                self.post_transform.apply(scores);
            }
            // A score and what is left of 1, as in ONNX Runtime.
            _ => scores.copy_from_slice(&[1.0 - score, score]),
        }
        usize::from(score > 0.0)
    }
}

fn cases() -> Vec<Case> {
    let of = |sums: usize, classes: i64, columns: usize, post_transform| LinearClassifier {
        coefficients: (0..sums * columns).map(|index| ((index * 7 % 11) as f32 - 5.0) * 0.25).collect(),
        intercepts: (0..sums).map(|index| index as f32 * 0.25 - 0.5).collect(),
        labels: Labels::Integers((0..classes).map(|class| class * 10 - 10).collect()),
        post_transform,
    };
    let named = LinearClassifier {
        labels: Labels::Strings(["low", "middle", "high"].map(String::from).to_vec()),
        ..of(3, 3, 4, PostTransform::None)
    };
    vec![
        Case::new("two classes", of(1, 2, 5, PostTransform::Logistic)).value(&[9, 5], Fill::Spread),
        Case::new("two scores", of(1, 2, 5, PostTransform::None)).value(&[9, 5], Fill::Spread),
        Case::new("softmax", of(3, 3, 4, PostTransform::Softmax)).value(&[9, 4], Fill::Spread),
        Case::new("strings", named).value(&[9, 4], Fill::Spread),
        Case::new("one row", of(3, 3, 4, PostTransform::Logistic)).value(&[4], Fill::Spread),
        Case::new("integers", of(2, 2, 2, PostTransform::None)).integers(&[2, 2], &[3, -4, 0, 7]),
        Case::new("empty", of(2, 2, 3, PostTransform::None)).value(&[0, 3], Fill::Spread),
    ]
}
