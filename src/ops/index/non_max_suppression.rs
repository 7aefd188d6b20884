//! `NonMaxSuppression`: the boxes of each class that overlap no better one.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The indices `[batch, class, box]` of the selected boxes, as i64 `[boxes, 3]`.
///
/// Boxes, f32 `[batch, boxes, 4]`, are taken by descending score, f32 `[batch, classes, boxes]`, of
/// equal ones the lower index first. One whose overlap with a taken one is above the threshold is
/// left out. Operands 2 to 4 are the most boxes per class, the threshold of overlap, and the score
/// that a box must exceed.
#[derive(Clone, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// Whether a box is its centre, width and height, `[x, y, w, h]`; otherwise two opposite
    /// corners, `[y, x, y, x]`.
    pub centred: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "NonMaxSuppression",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("its sizes are known only while it runs"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(NonMaxSuppression { centred: node.flag("center_point_box", false)? }))
}

impl Operator for NonMaxSuppression {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(1)
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 5)?;
        let (boxes, scores) = (inputs.required(0)?, inputs.required(1)?);
        let numbers = [0, 1, 3, 4].into_iter().filter_map(|index| inputs.fact(index));
        if let Some(other) = numbers.map(|fact| fact.dtype).find(|dtype| *dtype != DType::F32) {
            return Err(Error::invalid_model(format!("expected f32, found {other}")));
        }
        if inputs.fact(2).is_some_and(|most| most.dtype != DType::I64) {
            return Err(Error::invalid_model("the most boxes per class must be an i64"));
        }
        let fits = |a: &Dim, b: &Dim| a.as_fixed().zip(b.as_fixed()).is_none_or(|(a, b)| a == b);
        let agree = match (boxes.shape.dims(), scores.shape.dims()) {
            ([batch, count, corners], [other, _, scored]) => {
                fits(batch, other) && fits(count, scored) && fits(corners, &Dim::from(4))
            }
            _ => false,
        };
        if !agree {
            return Err(Error::invalid_model(format!("boxes are {boxes}, their scores {scores}")));
        }
        if let Some(facts) = tracked::computed(inputs, |operands| compute(self.centred, operands))? {
            return Ok(facts);
        }
        Ok(vec![Fact::new(DType::I64, Shape::new(vec![inputs.measured(0)?, Dim::from(3)]))])
    }
}

struct Kernel {
    centred: bool,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { centred: request.op::<NonMaxSuppression>()?.centred }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(|operands| compute(self.centred, operands))
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        compute(self.centred, inputs)
    }
}

/// A box: the lower and upper bound of each axis, and its area.
#[derive(Clone, Copy)]
struct Area {
    low: [f32; 2],
    high: [f32; 2],
    area: f32,
}

impl Area {
    fn of(numbers: &[f32], centred: bool) -> Self {
        let (a, b) = match (centred, numbers) {
            (true, &[x, y, w, h]) => ([x - w / 2.0, y - h / 2.0], [x + w / 2.0, y + h / 2.0]),
            (_, numbers) => ([numbers[0], numbers[1]], [numbers[2], numbers[3]]),
        };
        let low = [a[0].min(b[0]), a[1].min(b[1])];
        let high = [a[0].max(b[0]), a[1].max(b[1])];
        Self { low, high, area: (high[0] - low[0]) * (high[1] - low[1]) }
    }

    /// Whether the shared part of both areas is above `threshold`.
    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let side = |axis: usize| (self.high[axis].min(other.high[axis]) - self.low[axis].max(other.low[axis])).max(0.0);
        let shared = side(0) * side(1);
        let whole = self.area + other.area - shared;
        self.area > 0.0 && other.area > 0.0 && whole > 0.0 && shared > 0.0 && shared / whole > threshold
    }
}

fn compute(centred: bool, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
    let &[Some(boxes), Some(scores), ..] = inputs else {
        return Err(Error::internal("NonMaxSuppression has boxes and scores"));
    };
    let operand = |index: usize| inputs.get(index).copied().flatten();
    let number = |index: usize| match operand(index) {
        Some(tensor) => Ok(tensor.as_slice::<f32>()?.first().copied()),
        None => Ok(None),
    };
    let most = match operand(2) {
        Some(most) => most.as_slice::<i64>()?.first().copied().unwrap_or(0),
        None => 0,
    };
    let (threshold, least) = (number(3)?.unwrap_or(0.0), number(4)?);
    let (batch, classes, count) = (scores.shape()[0], scores.shape()[1], scores.shape()[2]);
    if boxes.shape() != [batch, count, 4] {
        return Err(Error::invalid_input(format!("boxes are {boxes:?}, their scores {scores:?}")));
    }
    let (boxes, scores) = (boxes.as_slice::<f32>()?, scores.as_slice::<f32>()?);
    let areas: Vec<Area> = boxes.chunks_exact(4).map(|numbers| Area::of(numbers, centred)).collect();
    let mut selected: Vec<i64> = Vec::new();
    for item in 0..batch {
        let areas = &areas[item * count..(item + 1) * count];
        for class in 0..classes {
            let scores = &scores[(item * classes + class) * count..][..count];
            let mut order: Vec<usize> =
                (0..count).filter(|&own| least.is_none_or(|least| scores[own] > least)).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let mut taken: Vec<usize> = Vec::new();
            for own in order {
                if taken.len() as i64 >= most {
                    break;
                }
                if !taken.iter().any(|&other| areas[own].overlaps(&areas[other], threshold)) {
                    taken.push(own);
                }
            }
            selected.extend(taken.iter().flat_map(|&own| [item as i64, class as i64, own as i64]));
        }
    }
    Ok(vec![Tensor::new([selected.len() / 3, 3], &selected)?])
}

fn cases() -> Vec<Case> {
    let corners =
        [0f32, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 1.0, 0.9, 0.0, -0.1, 0.0, 10.0, 1.0, 11.0, 2.0, 2.0, 2.0, 3.0];
    let scores = [0.9f32, 0.75, 0.6, 0.95, 0.5, 0.3, 0.3, 0.8, 0.1, 0.2];
    let of = |name: &str, centred: bool, most: i64, overlap: f32, least: f32| {
        Case::new(name, NonMaxSuppression { centred })
            .tensor(Tensor::new([1, 5, 4], &corners).expect("five boxes"))
            .tensor(Tensor::new([1, 2, 5], &scores).expect("two classes"))
            .tensor(Tensor::scalar(most))
            .tensor(Tensor::scalar(overlap))
            .tensor(Tensor::scalar(least))
    };
    let bare = Case::new("no limits", NonMaxSuppression { centred: false })
        .tensor(Tensor::new([1, 5, 4], &corners).expect("five boxes"))
        .tensor(Tensor::new([1, 2, 5], &scores).expect("two classes"));
    vec![
        of("corners", false, 3, 0.5, 0.0),
        of("one", false, 1, 0.5, 0.0),
        of("centres", true, 9, 0.1, 0.25),
        of("none", false, 3, 0.5, 0.99),
        bare,
    ]
}
