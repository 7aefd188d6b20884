//! `ScatterElements` and `ScatterND`: a copy of the data with elements replaced or joined with others.

use std::sync::Arc;

use bytemuck::Pod;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        number::{Number, with_number},
        strided,
    },
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::index::{self, Indices, check_index_type, check_number, gather_nd, not_numbers},
    shape::Dim,
    tensor::DType,
};

/// What becomes of an element and an update for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The update; of several the last.
    Replace,
    /// Their sum.
    Add,
    /// Their product.
    Mul,
    /// The larger, NaN where either is.
    Max,
    /// The smaller, NaN where either is.
    Min,
}

impl Join {
    fn decode(node: &mut OnnxNode<'_>) -> Result<Self> {
        Ok(match node.string("reduction")?.as_deref() {
            None | Some("none") => Self::Replace,
            Some("add") => Self::Add,
            Some("mul") => Self::Mul,
            Some("max") => Self::Max,
            Some("min") => Self::Min,
            Some(other) => return Err(Error::unsupported(format!("the reduction `{other}`"))),
        })
    }

    fn check(self, dtype: DType) -> Result<()> {
        if self == Self::Replace { Ok(()) } else { check_number(dtype) }
    }

    fn of<T: Number>(self, old: T, new: T) -> T {
        match self {
            Self::Replace => new,
            Self::Add => old.plus(new),
            Self::Mul => old.times(new),
            Self::Max => old.larger(new),
            Self::Min => old.smaller(new),
        }
    }
}

/// Operand 0 with the elements of operand 2 at the places that operand 1 names along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterElements {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// What becomes of an element that is named.
    pub join: Join,
}

pub(crate) static ELEMENTS: OpDef = OpDef {
    name: "ScatterElements",
    onnx: Some(decode_elements),
    cases: element_cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(elements_kernel),
    gpu: GpuState::Kernel("scatter"),
};

pub(crate) fn decode_elements(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(ScatterElements { axis: node.int("axis")?.unwrap_or(0), join: Join::decode(node)? }))
}

fn operands<'a>(inputs: &Inputs<'a>, join: Join) -> Result<[&'a Fact; 3]> {
    inputs.expect(3, 3)?;
    let [data, indices, updates] = [inputs.required(0)?, inputs.required(1)?, inputs.required(2)?];
    check_index_type(indices.dtype)?;
    join.check(data.dtype)?;
    if updates.dtype != data.dtype {
        return Err(Error::invalid_model(format!("updates {updates} of {data}")));
    }
    Ok([data, indices, updates])
}

impl Operator for ScatterElements {
    fn def(&self) -> &'static OpDef {
        &ELEMENTS
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [data, indices, updates] = operands(inputs, self.join)?;
        data.shape.axis(self.axis)?;
        if [indices.shape.rank(), updates.shape.rank()] != [data.shape.rank(); 2] {
            return Err(Error::invalid_model(format!("indices {indices} and updates {updates} for {data}")));
        }
        Ok(vec![Fact::new(data.dtype, data.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let own = axes[0]?;
        (own != axis && axes.iter().all(|other| *other == Some(own))).then(|| vec![Some(own)])
    }
}

struct ElementsKernel {
    axis: usize,
    join: Join,
}

fn elements_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &ScatterElements = request.op()?;
    Ok(Box::new(ElementsKernel { axis: request.input(0)?.shape.axis(op.axis)?, join: op.join }))
}

impl CpuKernel for ElementsKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let shape = io.input(1)?.shape;
        same_shape(shape, io.input(2)?.shape)?;
        let axis = self.axis;
        let places = |data: &[usize], indices: &Indices<'_>, visit: &mut dyn FnMut(usize, usize)| {
            index::check_within(data, shape, axis)?;
            let steps = strided::steps(data);
            index::each(shape, &steps, axis, |position, base| {
                visit(position, base + indices.resolve(position, axis, data[axis])? * steps[axis] as usize);
                Ok(())
            })
        };
        scatter(io, self.join, places)
    }
}

pub(crate) fn same_shape(indices: &[usize], updates: &[usize]) -> Result<()> {
    if indices == updates {
        return Ok(());
    }
    Err(Error::invalid_input(format!("updates {updates:?} where the indices need {indices:?}")))
}

/// Copies the data, then joins each update with the element at its place.
fn scatter(
    io: &mut Io<'_>,
    join: Join,
    places: impl FnOnce(&[usize], &Indices<'_>, &mut dyn FnMut(usize, usize)) -> Result<()>,
) -> Result<()> {
    let (data, indices, updates) = (io.input(0)?, Indices::of(io.input(1)?)?, io.input(2)?);
    let output = io.output(0)?;
    output.bytes.copy_from_slice(data.bytes);
    fn replace<T: Pod>(updates: &[u8], output: &mut [u8]) -> impl FnMut(usize, usize) {
        let (updates, output): (&[T], &mut [T]) = (bytemuck::cast_slice(updates), bytemuck::cast_slice_mut(output));
        |update, place| output[place] = updates[update]
    }
    if join == Join::Replace {
        return match data.dtype.size() {
            1 => places(data.shape, &indices, &mut replace::<u8>(updates.bytes, output.bytes)),
            2 => places(data.shape, &indices, &mut replace::<u16>(updates.bytes, output.bytes)),
            4 => places(data.shape, &indices, &mut replace::<u32>(updates.bytes, output.bytes)),
            _ => places(data.shape, &indices, &mut replace::<u64>(updates.bytes, output.bytes)),
        };
    }
    with_number!(data.dtype, T => {
        let (updates, output) = (updates.slice::<T>()?, output.slice::<T>()?);
        places(data.shape, &indices, &mut |update, place| output[place] = join.of(output[place], updates[update]))
    }, else Err(not_numbers()))
}

fn element_cases() -> Vec<Case> {
    let of = |axis, join| ScatterElements { axis, join };
    let case = |name: &str, op| {
        Case::new(name, op)
            .value(&[3, 4], Fill::Hostile)
            .integers(&[2, 3], &[0, -1, 2, 0, 1, 2])
            .value(&[2, 3], Fill::Spread)
    };
    vec![
        case("rows", of(0, Join::Replace)),
        case("add", of(0, Join::Add)),
        case("mul", of(1, Join::Mul)),
        case("max", of(-1, Join::Max)),
        case("min", of(0, Join::Min)),
        Case::new("along each row", of(1, Join::Add))
            .value(&[3, 4], Fill::Spread)
            .integers(&[3, 2], &[0, -1, 2, 2, 1, 3])
            .value(&[3, 2], Fill::Spread),
        Case::new("integers", of(0, Join::Add))
            .integers(&[3], &[1, 2, i64::MAX])
            .integers(&[2], &[2, -1])
            .integers(&[2], &[1, 5]),
        Case::new("nothing", of(0, Join::Replace))
            .value(&[3], Fill::Spread)
            .integers(&[0], &[])
            .value(&[0], Fill::Spread),
    ]
}

/// Operand 0 with the parts of operand 2 at the places that tuples of operand 1 name.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterNd {
    /// What becomes of an element that is named.
    pub join: Join,
}

pub(crate) static ND: OpDef = OpDef {
    name: "ScatterND",
    onnx: Some(|node| Ok(Arc::new(ScatterNd { join: Join::decode(node)? }))),
    cases: nd_cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(nd_kernel),
    gpu: GpuState::Kernel("scatter"),
};

impl Operator for ScatterNd {
    fn def(&self) -> &'static OpDef {
        &ND
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [data, indices, updates] = operands(inputs, self.join)?;
        let len = gather_nd::tuple_len(data, indices, 0)?;
        if updates.shape.rank() != indices.shape.rank() - 1 + data.shape.rank() - len {
            return Err(Error::invalid_model(format!("indices {indices} and updates {updates} for {data}")));
        }
        Ok(vec![Fact::new(data.dtype, data.shape.clone())])
    }
}

struct NdKernel {
    join: Join,
    len: usize,
}

fn nd_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let len = gather_nd::tuple_len(request.input(0)?, request.input(1)?, 0)?;
    Ok(Box::new(NdKernel { join: request.op::<ScatterNd>()?.join, len }))
}

impl CpuKernel for NdKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (data, indices, updates) = (io.input(0)?.shape, io.input(1)?.shape, io.input(2)?.shape);
        let (outer, len) = (&indices[..indices.len() - 1], self.len);
        same_shape(outer, &updates[..outer.len()])?;
        same_shape(&data[len..], &updates[outer.len()..])?;
        let (tuples, row): (usize, usize) = (outer.iter().product(), data[len..].iter().product());
        let places = |data: &[usize], indices: &Indices<'_>, visit: &mut dyn FnMut(usize, usize)| {
            for tuple in 0..tuples {
                let at = index::locate(indices, tuple * len..(tuple + 1) * len, data, 0)?;
                (0..row).for_each(|element| visit(tuple * row + element, at * row + element));
            }
            Ok(())
        };
        scatter(io, self.join, places)
    }
}

fn nd_cases() -> Vec<Case> {
    let of = |join| ScatterNd { join };
    vec![
        Case::new("elements", of(Join::Replace))
            .value(&[3, 4], Fill::Hostile)
            .integers(&[2, 2], &[0, -1, 2, 0])
            .value(&[2], Fill::Spread),
        Case::new("rows", of(Join::Add))
            .value(&[3, 4], Fill::Spread)
            .integers(&[3, 1], &[1, -1, 1])
            .value(&[3, 4], Fill::Spread),
        Case::new("nothing", of(Join::Max)).value(&[3], Fill::Spread).integers(&[0, 1], &[]).value(&[0], Fill::Spread),
    ]
}
