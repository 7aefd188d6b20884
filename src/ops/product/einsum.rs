//! `Einsum`: sums of products of elements, by an equation that labels the axes.

mod equation;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Condition, Dim, Shape, strides},
    tensor::{DType, Tensor},
};

/// Sums of products of elements, by the labels of their axes.
///
/// Axes of one label go together, those of size 1 with any; labels that the result lacks are summed
/// over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Einsum {
    /// The label of each axis of each operand.
    pub operands: Vec<Vec<usize>>,
    /// The label of each axis of the result, each once.
    pub result: Vec<usize>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Einsum",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<Einsum>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let equation = node.string("equation")?.ok_or_else(|| Error::invalid_model("`equation` is missing"))?;
    let inputs = node.inputs();
    let ranks = (0..inputs.len()).map(|index| Ok(inputs.required(index)?.shape.rank()));
    Ok(Arc::new(Einsum::parse(&equation, &ranks.collect::<Result<Vec<_>>>()?)?))
}

impl Einsum {
    /// The number of labels.
    fn labels(&self) -> usize {
        self.operands.iter().flatten().max().map_or(0, |last| last + 1)
    }
}

impl Operator for Einsum {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(self.operands.len(), self.operands.len())?;
        let dtype = inputs.required(0)?.dtype;
        if !dtype.is_integer() && !matches!(dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("an Einsum of elements of type {dtype}")));
        }
        let mut sizes = vec![Shape::fixed(&[1]); self.labels()];
        for (index, labels) in self.operands.iter().enumerate() {
            let operand = inputs.required(index)?;
            if operand.dtype != dtype || operand.shape.rank() != labels.len() {
                return Err(Error::invalid_model(format!(
                    "operand {index} is {operand}, expected {dtype} of {} dimensions",
                    labels.len()
                )));
            }
            for (axis, (&label, size)) in labels.iter().zip(operand.shape.dims()).enumerate() {
                match labels[..axis].iter().position(|&own| own == label) {
                    Some(first) => inputs.assume(Condition::equal("a diagonal", &operand.shape[first], size))?,
                    None => sizes[label] = inputs.broadcast(&sizes[label], &Shape::new([size.clone()]))?,
                }
            }
        }
        Ok(vec![Fact::new(dtype, self.result.iter().map(|&label| sizes[label][0].clone()).collect())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let mut of_items = axes.iter().zip(&self.operands).filter_map(|(axis, labels)| Some(labels[(*axis)?]));
        let label = of_items.next()?;
        let result = self.result.iter().position(|&own| own == label)?;
        let apart = |(index, (axis, labels)): (usize, (&Option<usize>, &Vec<usize>))| {
            let mut own = (0..labels.len()).filter(|&own| labels[own] == label);
            match axis {
                Some(axis) => own.eq([*axis]),
                None => own.all(|own| inputs.fact(index).is_some_and(|fact| fact.shape[own].as_fixed() == Some(1))),
            }
        };
        axes.iter().zip(&self.operands).enumerate().all(apart).then(|| vec![Some(result)])
    }
}

/// A loop over a label: the number of its steps, and the distance of one in each operand.
struct Loop {
    count: usize,
    steps: Vec<usize>,
}

fn run(op: &Einsum, io: &mut Io<'_>) -> Result<()> {
    let views = (0..op.operands.len()).map(|index| io.input(index)).collect::<Result<Vec<_>>>()?;
    let mut loops: Vec<Loop> = (0..op.labels()).map(|_| Loop { count: 1, steps: vec![0; views.len()] }).collect();
    for (index, (view, labels)) in views.iter().zip(&op.operands).enumerate() {
        for ((&label, &size), &step) in labels.iter().zip(view.shape).zip(&strides(view.shape)) {
            if size != 1 {
                loops[label].count = size;
                loops[label].steps[index] += step;
            }
        }
    }
    let (mut outer, mut summed) = (Vec::new(), Vec::new());
    let mut loops: Vec<Option<Loop>> = loops.into_iter().map(Some).collect();
    outer.extend(op.result.iter().filter_map(|&label| loops[label].take()));
    summed.extend(loops.into_iter().flatten().filter(|own| own.count != 1));
    let output = io.output(0)?;
    with_number!(output.dtype, T => {
        let operands = views.iter().map(|view| view.slice::<T>()).collect::<Result<Vec<_>>>()?;
        let (of, to) = (Sums { operands: &operands, outer: &outer, summed: &summed }, output.slice::<T>()?);
        // Sums of floating-point numbers are rounded once; those of integers wrap.
        match T::INTEGER {
            true => of.write(to, [T::ZERO, T::narrow(1.0)], |x| x, T::plus, T::times, |x| x),
            false => of.write(to, [0.0, 1.0], T::wide, |a, b| a + b, |a, b| a * b, T::narrow),
        }
        Ok(())
    }, else Err(Error::internal("an Einsum of booleans was not refused")))
}

/// The sums of one run.
struct Sums<'a, T> {
    operands: &'a [&'a [T]],
    outer: &'a [Loop],
    summed: &'a [Loop],
}

impl<T: Number> Sums<'_, T> {
    /// Writes the sums, computed in another type; `start` is its 0 and 1.
    fn write<A: Copy>(
        &self,
        to: &mut [T],
        start: [A; 2],
        wide: impl Fn(T) -> A,
        plus: impl Fn(A, A) -> A,
        times: impl Fn(A, A) -> A,
        narrow: impl Fn(A) -> T,
    ) {
        let [zero, one] = start;
        // The innermost sum is a loop of its own, without places to keep.
        let none = Loop { count: 1, steps: vec![0; self.operands.len()] };
        let (last, between) = self.summed.split_last().unwrap_or((&none, &[]));
        let mut result = to.iter_mut();
        each_place(self.outer, &vec![0; self.operands.len()], &mut |places| {
            let mut sum = zero;
            each_place(between, places, &mut |places| {
                for step in 0..last.count {
                    let factors = self.operands.iter().zip(places).zip(&last.steps);
                    let product = factors.fold(one, |product, ((operand, place), own)| {
                        times(product, wide(operand[place + step * own]))
                    });
                    sum = plus(sum, product);
                }
            });
            if let Some(to) = result.next() {
                *to = narrow(sum);
            }
        });
    }
}

/// Calls `visit` with the place in each operand at each step of nested loops.
fn each_place(loops: &[Loop], start: &[usize], visit: &mut dyn FnMut(&[usize])) {
    let Some((first, inner)) = loops.split_first() else { return visit(start) };
    let mut places = start.to_vec();
    for _ in 0..first.count {
        each_place(inner, &places, visit);
        places.iter_mut().zip(&first.steps).for_each(|(place, step)| *place += step);
    }
}

fn cases() -> Vec<Case> {
    let of = |equation: &str, ranks: &[usize]| {
        Case::new(equation, Einsum::parse(equation, ranks).expect("a case's equation is right"))
    };
    let (two, three) = ([3, 4], [2, 3, 4]);
    let integers = Tensor::new([2, 2], &[i64::MAX, 2, 3, 4]).expect("four numbers");
    let doubles = Tensor::new([3], &[1.5f64, -2.0, 0.1]).expect("three numbers");
    vec![
        of("ij->ji", &[2]).value(&two, Fill::Hostile),
        of("ij->i", &[2]).value(&two, Fill::Spread),
        of("ij->", &[2]).value(&two, Fill::Spread),
        of("ii->i", &[2]).value(&[4, 4], Fill::Spread),
        of("...ii->...", &[3]).value(&[2, 3, 3], Fill::Spread),
        of("bij,bjk->bik", &[3, 3]).value(&three, Fill::Spread).value(&[2, 4, 5], Fill::Spread),
        of("bhqd,bkd->bqhk", &[4, 3]).value(&[2, 3, 4, 5], Fill::Spread).constant(&[2, 6, 5], Fill::Spread),
        of("...ij,...jk", &[3, 2]).value(&three, Fill::Spread).value(&[4, 5], Fill::Spread),
        of("i,j->ij", &[1, 1]).value(&[3], Fill::Spread).value(&[4], Fill::Spread),
        of("ij,ij->ij", &[2, 2]).value(&two, Fill::Spread).value(&two, Fill::Spread),
        of("ij,jk,kl->il", &[2, 2, 2])
            .value(&two, Fill::Spread)
            .value(&[4, 2], Fill::Spread)
            .value(&[2, 5], Fill::Spread),
        of("ij,jk->ik", &[2, 2]).value(&[3, 1], Fill::Spread).value(&[4, 5], Fill::Spread),
        of("ij,jk->ik", &[2, 2]).value(&[3, 0], Fill::Spread).value(&[0, 5], Fill::Spread),
        of("ij,jk->ik", &[2, 2]).value(&[0, 4], Fill::Spread).value(&[4, 5], Fill::Spread),
        of("ij,ij->j", &[2, 2]).tensor(integers.clone()).tensor(integers),
        of("i,i", &[1, 1]).tensor(doubles.clone()).tensor(doubles),
    ]
}
