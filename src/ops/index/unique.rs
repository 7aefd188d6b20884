//! `Unique`: the different elements or slices of the operand.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Dim, Shape, normalize_axis},
    tensor::{AlignedBytes, DType, Tensor},
};

/// The different slices along an axis.
///
/// Further results are the index of each one's first occurrence, for each slice of the operand the
/// index of its equal in the result, and how often each one occurs. NaN equals NaN and is above all
/// other numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Unique {
    /// The axis; without one the operand is flattened first.
    pub axis: Option<i64>,
    /// Whether the results are in ascending order, otherwise in the order of their first occurrence.
    pub sorted: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Unique",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("its sizes are known only while it runs"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Unique { axis: node.int("axis")?, sorted: node.flag("sorted", true)? }))
}

impl Operator for Unique {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(1)
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let axis = self.axis.map(|axis| input.shape.axis(axis)).transpose()?;
        if let Some(facts) = tracked::computed(inputs, |operands| self.compute(operands))? {
            return Ok(facts);
        }
        let count = inputs.measured(0)?;
        let mut dims = input.shape.dims().to_vec();
        let slices = match axis {
            Some(axis) => std::mem::replace(&mut dims[axis], count.clone()),
            None => {
                dims = vec![count.clone()];
                input.shape.elements()
            }
        };
        let list = |length: Dim| Fact::new(DType::I64, Shape::new(vec![length]));
        Ok(vec![Fact::new(input.dtype, Shape::new(dims)), list(count.clone()), list(slices), list(count)])
    }
}

struct Kernel(Unique);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<Unique>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(|operands| self.0.compute(operands))
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        self.0.compute(inputs)
    }
}

impl Unique {
    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        let &[Some(input)] = inputs else { return Err(Error::internal("Unique has one operand")) };
        let flat = [input.len()];
        let (shape, axis) = match self.axis {
            Some(axis) => (input.shape(), normalize_axis(axis, input.shape().len())?),
            None => (&flat[..], 0),
        };
        let slices = Slices {
            count: shape[axis],
            outer: shape[..axis].iter().product(),
            inner: shape[axis + 1..].iter().product(),
        };
        let groups = if input.dtype() == DType::String {
            // By their texts: the numbers of strings have no order.
            let texts = input.as_strings()?;
            self.groups(slices.count, &|a, b| slices.compare(&texts, a, b, |x, y| x.cmp(y)))
        } else {
            with_number!(input.dtype(), T => {
                let elements = input.as_slice::<T>()?;
                self.groups(slices.count, &|a, b| slices.compare(elements, a, b, |x, y| x.order(*y)))
            }, else {
                let elements = input.as_slice::<u8>()?;
                self.groups(slices.count, &|a, b| slices.compare(elements, a, b, |x, y| x.cmp(y)))
            })
        };
        let mut inverse = vec![0i64; slices.count];
        for (index, group) in groups.iter().enumerate() {
            group.iter().for_each(|&slice| inverse[slice] = index as i64);
        }
        let firsts: Vec<usize> = groups.iter().map(|group| group[0]).collect();
        let mut own = shape.to_vec();
        own[axis] = groups.len();
        let data = slices.pick(input, &firsts)?;
        let list = |numbers: Vec<i64>| Tensor::new([numbers.len()], &numbers);
        Ok(vec![
            input.with_elements(own, data)?,
            list(firsts.iter().map(|&first| first as i64).collect())?,
            list(inverse)?,
            list(groups.iter().map(|group| group.len() as i64).collect())?,
        ])
    }

    /// Those of `count` slices that equal each other, in the order of the results; each group is ascending.
    fn groups(&self, count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
        let equal = |a: &usize, b: &usize| compare(*a, *b).is_eq();
        let mut groups: Vec<Vec<usize>> = order.chunk_by(equal).map(<[usize]>::to_vec).collect();
        if !self.sorted {
            groups.sort_unstable_by_key(|group| group[0]);
        }
        groups
    }
}

/// The slices along an axis.
struct Slices {
    count: usize,
    outer: usize,
    inner: usize,
}

impl Slices {
    /// The position of the first element of part `outer` of a slice.
    fn start(&self, slice: usize, outer: usize) -> usize {
        (outer * self.count + slice) * self.inner
    }

    fn compare<T>(&self, elements: &[T], a: usize, b: usize, order: impl Fn(&T, &T) -> Ordering) -> Ordering {
        let of = |slice: usize, outer: usize| &elements[self.start(slice, outer)..][..self.inner];
        let parts = (0..self.outer).flat_map(|outer| of(a, outer).iter().zip(of(b, outer)));
        parts.map(|(x, y)| order(x, y)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The bytes of these slices together.
    fn pick(&self, input: &Tensor, picked: &[usize]) -> Result<AlignedBytes> {
        let size = input.dtype().size();
        let block = self.inner * size;
        let mut data = AlignedBytes::try_zeroed(self.outer * picked.len() * block)?;
        let places = (0..self.outer).flat_map(|outer| picked.iter().map(move |&slice| (slice, outer)));
        for (place, (slice, outer)) in places.enumerate() {
            let from = self.start(slice, outer) * size;
            data[place * block..(place + 1) * block].copy_from_slice(&input.bytes()[from..from + block]);
        }
        Ok(data)
    }
}

fn cases() -> Vec<Case> {
    let of = |axis, sorted| Unique { axis, sorted };
    let rows = [1i64, 0, 0, 1, 0, 0, 2, 3, 4, 0, 9, 9];
    vec![
        Case::new("flat", of(None, true)).integers(&[6], &[2, 1, 1, 3, 4, 3]),
        Case::new("first seen", of(None, false)).integers(&[2, 3], &[2, 1, 1, 3, 4, 3]),
        Case::new("hostile", of(None, true)).value(&[7, 9], Fill::Hostile),
        Case::new("rows", of(Some(0), true)).integers(&[4, 3], &rows),
        Case::new("columns", of(Some(-1), false)).integers(&[3, 4], &rows),
        Case::new("middle", of(Some(1), true)).integers(&[2, 2, 3], &rows),
        Case::new("flags", of(None, true)).tensor(Tensor::from_bools([3], &[true, false, true]).expect("three flags")),
        Case::new("scalar", of(None, true)).integers(&[], &[5]),
        Case::new("empty", of(Some(0), true)).value(&[0, 3], Fill::Spread),
    ]
}
