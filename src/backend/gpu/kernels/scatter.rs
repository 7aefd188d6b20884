//! `ScatterElements` and `ScatterND`: updates written to indexed positions.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        buffer::carrier,
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            functions::binary,
            moves,
            places::{MAX_AXES, TOO_MANY_AXES, column, lines},
        },
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    kernels::strided::steps,
    ops::{
        index::{
            check_within,
            gather_nd::tuple_len,
            scatter::{Join, ScatterElements, ScatterNd, same_shape},
        },
        pointwise::BinaryFunction,
    },
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "scatter", make };

const SHADER: Shader = wgsl!("scatter");

/// Maximum updates of a lane in one dispatch: software adapters end long loops.
const UPDATES: usize = 8192;

/// How the positions of updates are indexed.
#[derive(Clone, Copy)]
enum Places {
    /// A lane runs along this axis.
    Axis(usize),
    /// A lane is one element of the rows selected by tuples of this many indices.
    Tuples(usize),
}

struct Kernel {
    copy: Arc<Program>,
    program: Arc<Program>,
    places: Places,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
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
    Made::kernel(Kernel { copy: moves::program(request, 1)?, program: request.program(&SHADER, &values)?, places })
}

impl GpuKernel for Kernel {
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
        // No index into empty data is valid, and none is checked.
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
