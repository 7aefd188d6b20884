//! Operators that only put elements elsewhere: `Transpose`, `Expand`, `Slice`, `Concat`, `Split`.

use std::{fmt::Write, sync::Arc};

use super::super::{
    kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
    shader::Program,
};
use crate::{
    error::{Error, Result},
    ops::{concat::Concat, expand::Expand, transpose::Transpose},
    shape::strides,
};

/// The most axes of one walk.
const MAX_AXES: usize = 8;

/// A walk over two tensors: sizes, and steps in each.
#[derive(Default)]
struct Walk {
    from: usize,
    to: usize,
    /// Size, step in the operand, step in the result, of each axis from the first to the last.
    axes: Vec<[usize; 3]>,
}

enum Move {
    Transpose(Vec<usize>),
    Expand,
    Concat(usize),
}

struct Kernel {
    program: Arc<Program>,
    what: Move,
}

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let rank = request.input(0)?.shape.rank();
    let what = if let Ok(op) = request.op::<Transpose>() {
        Move::Transpose(op.order(rank)?)
    } else if let Ok(op) = request.op::<Concat>() {
        Move::Concat(request.input(0)?.shape.axis(op.axis)?)
    } else if request.op::<Expand>().is_ok() {
        Move::Expand
    } else {
        return Err(Error::internal("an operator that does not only move elements"));
    };
    if request.output(0)?.shape.rank() > MAX_AXES {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    Made::kernel(Kernel { program: program(request)?, what })
}

/// The shader of every walk.
fn program(request: &GpuRequest<'_>) -> Result<Arc<Program>> {
    let mut axes = String::new();
    for axis in 0..MAX_AXES {
        let step = |name: &str| format!("{name}_at += (rest % p.size[{axis}]) * p.{name}_step[{axis}];");
        writeln!(axes, "    {} {}\n    rest = rest / p.size[{axis}];", step("x"), step("y"))
            .map_err(|error| Error::internal(error.to_string()))?;
    }
    request.program("move", &[("axes", &axes)])
}

impl Kernel {
    /// The walk of operand `index`.
    fn walk(&self, run: &Recorder<'_>, index: usize, before: usize) -> Result<Walk> {
        let (x, y) = (run.input(index)?, run.output(0)?);
        let (x_steps, y_steps) = (strides(x), strides(y));
        Ok(match &self.what {
            Move::Transpose(order) => {
                let axes = order.iter().zip(&y_steps).map(|(&axis, &step)| [x[axis], x_steps[axis], step]);
                Walk { axes: axes.collect(), ..Walk::default() }
            }
            Move::Expand => {
                let added = y.len().checked_sub(x.len());
                let fits = |added: usize| x.iter().zip(&y[added..]).all(|(&own, &size)| own == 1 || own == size);
                let added = added
                    .filter(|&added| fits(added))
                    .ok_or_else(|| Error::invalid_input(format!("{x:?} is not broadcast to {y:?}")))?;
                let step = |axis: usize| match axis.checked_sub(added) {
                    Some(own) if x[own] != 1 => x_steps[own],
                    _ => 0,
                };
                Walk {
                    axes: (0..y.len()).map(|axis| [y[axis], step(axis), y_steps[axis]]).collect(),
                    ..Walk::default()
                }
            }
            Move::Concat(axis) => {
                let others = |shape: &[usize]| {
                    let mut others = shape.to_vec();
                    others[*axis] = 0;
                    others
                };
                if x.len() != y.len() || others(x) != others(y) {
                    let what = format!("{x:?} cannot be joined into {y:?} along axis {axis}");
                    return Err(Error::invalid_input(what));
                }
                let axes = (0..x.len()).map(|axis| [x[axis], x_steps[axis], y_steps[axis]]).collect();
                Walk { from: 0, to: before * y_steps[*axis], axes }
            }
        })
    }
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let mut before = 0;
        for index in 0..run.input_count() {
            let walk = self.walk(run, index, before)?;
            if let Move::Concat(axis) = self.what {
                before += run.input(index)?[axis];
            }
            walk.record(&self.program, run, Operand::Input(index), Operand::Output(0))?;
        }
        Ok(())
    }
}

impl Walk {
    fn record(&self, program: &Program, run: &mut Recorder<'_>, x: Operand, y: Operand) -> Result<()> {
        let count: usize = self.axes.iter().map(|[size, _, _]| size).product();
        let mut words = vec![word(count)?, word(self.from)?, word(self.to)?];
        let padded = || self.axes.iter().rev().copied().chain(std::iter::repeat([1, 0, 0])).take(MAX_AXES);
        for column in 0..3 {
            for axis in padded() {
                // A dispatch without elements is never recorded, so no size that divides is 0.
                words.push(word(axis[column])?);
            }
        }
        run.dispatch(program, &[("x", x), ("y", y)], &words, count.div_ceil(256))
    }
}
