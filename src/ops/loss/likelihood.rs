//! `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// How the losses of all positions become the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// They are the result.
    None,
    /// Their sum.
    Sum,
    /// Their sum over the sum of their weights.
    Mean,
}

/// The negated score of each position's class, times the class's weight.
///
/// Operands: the scores `[batch, classes, positions...]`; the classes `[batch, positions...]`; the
/// weights `[classes]`, which may be absent. Results: the losses, and for scores that go through a
/// softmax their logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LikelihoodLoss {
    /// How the losses become the result.
    pub reduction: Reduction,
    /// The class of positions that do not count.
    pub ignored: Option<i64>,
    /// Whether the scores go through the logarithm of a softmax first.
    pub softmax: bool,
}

macro_rules! def {
    ($constant:ident, $name:literal, $softmax:literal) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some(|node| decode(node, $softmax)),
            cases: || cases($softmax),
            accuracy: Accuracy::Reduction,
            cpu: CpuState::Kernel(|request| function_kernel::<LikelihoodLoss>(request, run)),
            gpu: GpuState::Host("no shader yet"),
        };
    };
}
def!(LIKELIHOOD, "NegativeLogLikelihoodLoss", false);
def!(CROSS_ENTROPY, "SoftmaxCrossEntropyLoss", true);

fn decode(node: &mut OnnxNode<'_>, softmax: bool) -> Result<Arc<dyn Operator>> {
    let reduction = match node.string("reduction")?.as_deref() {
        None | Some("mean") => Reduction::Mean,
        Some("sum") => Reduction::Sum,
        Some("none") => Reduction::None,
        Some(other) => return Err(Error::invalid_model(format!("`reduction` is `{other}`"))),
    };
    Ok(Arc::new(LikelihoodLoss { reduction, ignored: node.int("ignore_index")?, softmax }))
}

impl Operator for LikelihoodLoss {
    fn def(&self) -> &'static OpDef {
        if self.softmax { &CROSS_ENTROPY } else { &LIKELIHOOD }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let (scores, classes) = (inputs.required(0)?, inputs.required(1)?);
        if !scores.dtype.is_float() || !matches!(classes.dtype, DType::I32 | DType::I64) {
            return Err(Error::unsupported(format!("a loss of scores {scores} and classes {classes}")));
        }
        let [batch, count, positions @ ..] = scores.shape.dims() else {
            return Err(Error::invalid_model(format!("scores {scores}: expected [batch, classes, positions...]")));
        };
        let due: Shape = std::iter::once(batch).chain(positions).cloned().collect();
        let alike = |a: &Dim, b: &Dim| a.as_fixed().zip(b.as_fixed()).is_none_or(|(a, b)| a == b);
        let fits = |own: &Shape, due: &Shape| {
            own.rank() == due.rank() && own.dims().iter().zip(due.dims()).all(|(a, b)| alike(a, b))
        };
        let weights = inputs.fact(2);
        let weighted = weights
            .is_none_or(|fact| fact.dtype == scores.dtype && fits(&fact.shape, &Shape::new(vec![count.clone()])));
        if !fits(&classes.shape, &due) || !weighted {
            return Err(Error::invalid_model(format!("classes {classes} or weights that do not fit scores {scores}")));
        }
        let shape = if self.reduction == Reduction::None { due } else { Shape::scalar() };
        let mut facts = vec![Fact::new(scores.dtype, shape)];
        if self.softmax {
            facts.push(Fact::new(scores.dtype, scores.shape.clone()));
        }
        Ok(facts)
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = self.reduction == Reduction::None && axes[..2] == [Some(0), Some(0)];
        let constant = axes[2..].iter().all(Option::is_none);
        (apart && constant).then(|| vec![Some(0); if self.softmax { 2 } else { 1 }])
    }
}

fn run(op: &LikelihoodLoss, io: &mut Io<'_>) -> Result<()> {
    let (scores, classes) = (io.input(0)?, io.input(1)?);
    let [batch, count, positions @ ..] = scores.shape else {
        return Err(Error::internal("scores of another rank were not refused"));
    };
    let (count, inner) = (*count, positions.iter().product::<usize>());
    if classes.shape[0] != *batch || classes.shape[1..] != *positions {
        let (own, due) = (classes.shape, scores.shape);
        return Err(Error::invalid_input(format!("classes of shape {own:?} for scores of shape {due:?}")));
    }
    let classes: Vec<i64> = match classes.dtype {
        DType::I32 => classes.slice::<i32>()?.iter().map(|&class| class.into()).collect(),
        _ => classes.slice::<i64>()?.to_vec(),
    };
    let weights = io.inputs.get(2).copied().flatten().map(wide::read).transpose()?;
    let mut scores = wide::read(scores)?;
    if op.softmax {
        log_softmax(&mut scores, count, inner);
    }
    let (mut losses, mut weight_sum) = (Vec::with_capacity(classes.len()), 0.0);
    for (at, &class) in classes.iter().enumerate() {
        if op.ignored == Some(class) {
            losses.push(0.0);
            continue;
        }
        let own = usize::try_from(class)
            .ok()
            .filter(|&own| own < count)
            .ok_or_else(|| Error::invalid_input(format!("class {class} at position {at}, of {count} classes")))?;
        let weight = weights.as_ref().map_or(1.0, |weights| weights[own]);
        weight_sum += weight;
        losses.push(-scores[(at / inner * count + own) * inner + at % inner] * weight);
    }
    let sum: f64 = losses.iter().sum();
    let output = io.output(0)?;
    match op.reduction {
        Reduction::None => wide::write(output, &losses)?,
        Reduction::Sum => wide::write(output, &[sum])?,
        Reduction::Mean => wide::write(output, &[sum / weight_sum])?,
    }
    if op.softmax { wide::write(io.output(1)?, &scores) } else { Ok(()) }
}

/// The logarithm of a softmax along the middle axis of `[outer, count, inner]`.
fn log_softmax(scores: &mut [f64], count: usize, inner: usize) {
    for block in scores.chunks_mut((count * inner).max(1)) {
        for column in 0..inner {
            let all = || block.iter().skip(column).step_by(inner);
            let most = all().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = all().map(|x| (x - most).exp()).sum();
            let least = most + sum.ln();
            block.iter_mut().skip(column).step_by(inner).for_each(|x| *x -= least);
        }
    }
}

fn cases(softmax: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
        for ignored in [None, Some(-1), Some(2)] {
            let op = LikelihoodLoss { reduction, ignored, softmax };
            let class = |at: i64| if ignored == Some(-1) && at % 3 == 0 { -1 } else { at % 4 };
            let classes: Vec<i64> = (0..15).map(class).collect();
            let case = Case::new(format!("{reduction:?}, {ignored:?}"), op);
            let case = case.value(&[3, 4, 5], Fill::Spread).integers(&[3, 5], &classes);
            cases.push(case.clone());
            cases.push(Case {
                name: format!("weighted, {reduction:?}, {ignored:?}"),
                ..case.constant(&[4], Fill::Positive)
            });
        }
    }
    let flat = LikelihoodLoss { reduction: Reduction::Mean, ignored: None, softmax };
    let classes = Tensor::new([2], &[1i32, 0]).expect("two classes");
    cases.push(Case::new("no positions", flat).value(&[2, 3], Fill::Spread).tensor(classes));
    cases
}
