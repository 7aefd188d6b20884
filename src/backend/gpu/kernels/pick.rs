//! `GatherElements`, `GatherND`, `ScatterElements` and `ScatterND`: places that indices name.

use std::{fmt::Write, sync::Arc};

use crate::{
    backend::gpu::{
        buffer::carrier,
        kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
        kernels::{functions::binary, moves},
        shader::Program,
    },
    error::{Error, Result},
    kernels::strided::steps,
    ops::{
        index::{
            check_within,
            gather_elements::GatherElements,
            gather_nd::{GatherNd, tuple_len},
            scatter::{Join, ScatterElements, ScatterNd, same_shape},
        },
        pointwise::BinaryFunction,
    },
    tensor::DType,
};

/// The most axes that the shaders have words for.
const MAX_AXES: usize = 8;

/// The most updates of a lane in one dispatch: software adapters end long loops.
const UPDATES: usize = 8192;

const TOO_MANY_AXES: &str = "more axes than its shader walks";

/// Lines of a shader, one for each axis.
fn lines(axes: usize, line: impl Fn(usize) -> String) -> Result<String> {
    let mut text = String::new();
    for axis in 0..axes {
        writeln!(text, "{}", line(axis)).map_err(|error| Error::internal(error.to_string()))?;
    }
    Ok(text)
}

/// Numbers as a column of words, from the last to the first where `turned`.
fn column(numbers: impl DoubleEndedIterator<Item = usize>, turned: bool, words: &mut Vec<u32>) -> Result<()> {
    let end = words.len() + MAX_AXES;
    let numbers: Vec<usize> = if turned { numbers.rev().collect() } else { numbers.collect() };
    for number in numbers {
        words.push(word(number)?);
    }
    words.resize(end, 1);
    Ok(())
}

/// Data that is empty has no element for an index to pick.
fn refuse_empty(data: &[usize], picked: usize) -> Result<()> {
    if picked > 0 && data.contains(&0) {
        return Err(Error::invalid_input(format!("{picked} elements are picked from data of shape {data:?}")));
    }
    Ok(())
}

struct Elements {
    program: Arc<Program>,
    axis: usize,
}

pub(super) fn make_gather_elements(request: &GpuRequest<'_>) -> Result<Made> {
    let shape = &request.input(0)?.shape;
    let axis = shape.axis(request.op::<GatherElements>()?.axis)?;
    if shape.rank() > MAX_AXES {
        return Ok(Made::Host(TOO_MANY_AXES));
    }
    let axes = lines(shape.rank(), |axis| {
        format!("    x_at += (rest % p.shape[{axis}]) * p.x_step[{axis}];\n    rest = rest / p.shape[{axis}];")
    })?;
    Made::kernel(Elements { program: request.program("gather_elements", &[("axes", &axes)])?, axis })
}

impl GpuKernel for Elements {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, indices) = (run.input(0)?, run.input(1)?);
        check_within(x, indices, self.axis)?;
        let count: usize = indices.iter().product();
        refuse_empty(x, count)?;
        let x_steps = steps(x);
        let along = |axis: usize| if axis == self.axis { 0 } else { x_steps[axis] as usize };
        let mut words = vec![word(count)?, word(x[self.axis])?, word(x_steps[self.axis] as usize)?, run.step()];
        column(indices.iter().copied(), true, &mut words)?;
        column((0..x.len()).map(along), true, &mut words)?;
        let operands = [
            ("x", Operand::Input(0)),
            ("indices", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}

struct Tuples {
    program: Arc<Program>,
    batch_dims: usize,
    len: usize,
}

pub(super) fn make_gather_nd(request: &GpuRequest<'_>) -> Result<Made> {
    let batch_dims = request.op::<GatherNd>()?.batch_dims;
    let len = tuple_len(request.input(0)?, request.input(1)?, batch_dims)?;
    if len > MAX_AXES {
        return Ok(Made::Host(TOO_MANY_AXES));
    }
    let places = lines(len, |axis| {
        format!("    x_at += resolve(indices[tuple * {len}u + {axis}u], p.size[{axis}], p.step) * p.x_step[{axis}];")
    })?;
    Made::kernel(Tuples { program: request.program("gather_nd", &[("places", &places)])?, batch_dims, len })
}

impl GpuKernel for Tuples {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, indices) = (run.input(0)?, run.input(1)?);
        let (same, other) = (&x[..self.batch_dims], &indices[..self.batch_dims]);
        if same != other {
            return Err(Error::invalid_input(format!("first axes {same:?} of the data and {other:?} of the indices")));
        }
        let (batches, picked) = (same.iter().product::<usize>(), self.batch_dims..self.batch_dims + self.len);
        let outer = &indices[..indices.len() - 1];
        let tuples = outer.iter().product::<usize>().checked_div(batches).unwrap_or(0);
        let row: usize = x[picked.end..].iter().product();
        let count = batches * tuples * row;
        refuse_empty(x, count)?;
        let batch: usize = x[self.batch_dims..].iter().product();
        let mut words = vec![word(count)?, word(row)?, word(tuples)?, word(batch)?, run.step()];
        let x_steps = steps(x);
        column(x[picked.clone()].iter().copied(), false, &mut words)?;
        column(x_steps[picked].iter().map(|&step| step as usize), false, &mut words)?;
        let operands = [
            ("x", Operand::Input(0)),
            ("indices", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}

/// How updates find their places.
#[derive(Clone, Copy)]
enum Places {
    /// A lane goes along an axis.
    Axis(usize),
    /// A lane is an element of the rows that tuples of so many indices name.
    Tuples(usize),
}

struct Scatter {
    copy: Arc<Program>,
    program: Arc<Program>,
    places: Places,
}

pub(super) fn make_scatter(request: &GpuRequest<'_>) -> Result<Made> {
    let data = request.input(0)?;
    let rank = data.shape.rank();
    let (places, join) = if let Ok(op) = request.op::<ScatterElements>() {
        (Places::Axis(data.shape.axis(op.axis)?), op.join)
    } else {
        (Places::Tuples(tuple_len(data, request.input(1)?, 0)?), request.op::<ScatterNd>()?.join)
    };
    if rank > MAX_AXES {
        return Ok(Made::Host(TOO_MANY_AXES));
    }
    let joined = |function| binary(function, data.dtype, "old", "next");
    let join = match join {
        Join::Replace => Some("next".to_owned()),
        Join::Add => joined(BinaryFunction::Add),
        Join::Mul => joined(BinaryFunction::Mul),
        Join::Max => joined(BinaryFunction::Max),
        Join::Min => joined(BinaryFunction::Min),
    };
    let Some(join) = join else { return Ok(Made::Host("results of 64-bit integers may need more than 32 bits")) };
    let kind = carrier(data.dtype).filter(|_| data.dtype != DType::Bool || join == "next");
    let Some(kind) = kind else { return Ok(Made::Host("a type that has no 32-bit form")) };
    let (fields, lane, inner) = match places {
        Places::Axis(_) => (
            "    // The size of the axis, and steps along it in `y` and in the updates.\n    size: u32,\n    y_axis: u32,\n    \
             update_axis: u32,\n    // Of the other axes from the last to the first: sizes, and steps in both.\n    \
             shape: array<u32, 8>,\n    y_step: array<u32, 8>,\n    update_step: array<u32, 8>,",
            lines(rank.saturating_sub(1), |axis| {
                format!(
                    "    y_at += (rest % p.shape[{axis}]) * p.y_step[{axis}];\n    update_at += (rest % p.shape[{axis}]) * \
                     p.update_step[{axis}];\n    rest = rest / p.shape[{axis}];"
                )
            })?,
            "        let update = update_at + j * p.update_axis;\n        \
             let place = y_at + resolve(indices[update], p.size, p.step) * p.y_axis;"
                .to_owned(),
        ),
        Places::Tuples(len) => (
            "    // Sizes of the axes that the tuples index, and steps along them.\n    size: array<u32, 8>,\n    \
             y_step: array<u32, 8>,",
            "    y_at = rest;\n    update_at = rest;".to_owned(),
            format!(
                "        var place = y_at;\n{}        let update = update_at + j * p.lanes;",
                lines(len, |axis| format!(
                    "        place += resolve(indices[j * {len}u + {axis}u], p.size[{axis}], p.step) * p.y_step[{axis}];"
                ))?
            ),
        ),
    };
    let values = [("fields", fields), ("kind", kind), ("lane", &lane), ("places", &inner), ("join", &join)];
    Made::kernel(Scatter { copy: moves::program(request, 1)?, program: request.program("scatter", &values)?, places })
}

impl GpuKernel for Scatter {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (y, indices, updates) = (run.input(0)?, run.input(1)?, run.input(2)?);
        let y_steps = steps(y);
        let mut own = Vec::new();
        let (lanes, along) = match self.places {
            Places::Axis(axis) => {
                same_shape(indices, updates)?;
                check_within(y, indices, axis)?;
                let update_steps = steps(updates);
                let others = || (0..y.len()).filter(move |&other| other != axis);
                for number in [y[axis], y_steps[axis] as usize, update_steps[axis] as usize] {
                    own.push(word(number)?);
                }
                column(others().map(|other| indices[other]), true, &mut own)?;
                column(others().map(|other| y_steps[other] as usize), true, &mut own)?;
                column(others().map(|other| update_steps[other] as usize), true, &mut own)?;
                (others().map(|other| indices[other]).product::<usize>(), indices[axis])
            }
            Places::Tuples(len) => {
                let outer = &indices[..indices.len() - 1];
                same_shape(outer, &updates[..outer.len()])?;
                same_shape(&y[len..], &updates[outer.len()..])?;
                column(y[..len].iter().copied(), false, &mut own)?;
                column(y_steps[..len].iter().map(|&step| step as usize), false, &mut own)?;
                (y[len..].iter().product(), outer.iter().product())
            }
        };
        // Where the data is empty no index is inside, and none is looked at.
        let lanes = if y.contains(&0) { 0 } else { lanes };
        moves::copy(&self.copy, run, 0, 0)?;
        let operands = [
            ("indices", Operand::Input(1)),
            ("updates", Operand::Input(2)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        for first in (0..along).step_by(UPDATES) {
            let mut words = vec![word(lanes)?, word(first)?, word(along.min(first + UPDATES))?, run.step()];
            words.extend(&own);
            run.dispatch(&self.program, &operands, &words, lanes.div_ceil(64))?;
        }
        Ok(())
    }
}
