//! Operators that only move elements: one strided copy, or one for each operand or result.

use std::{fmt::Write, sync::Arc};

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    kernels::strided::{self, Axis, steps},
    ops::moves::{
        concat::Concat,
        depth_to_space::{Blocks, DepthToSpace, SpaceToDepth},
        expand::Expand,
        slice::Slice,
        split::Split,
        tile::{self, Tile},
        transpose::Transpose,
    },
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "move", make };

const SHADER: Shader = wgsl!("move");

/// Maximum number of axes of one strided copy.
const MAX_AXES: usize = 8;

/// A strided copy from one tensor to another: first elements, and axes.
#[derive(Default)]
struct StridedCopy {
    from: usize,
    to: usize,
    axes: Vec<Axis>,
}

enum Move {
    Transpose(Vec<usize>),
    Expand,
    Concat(usize),
    Slice(Slice),
    Split(usize),
    Tile,
    Blocks(Blocks),
}

struct Kernel {
    program: Arc<Program>,
    what: Move,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let input = &request.input(0)?.shape;
    let mut axes = request.output(0)?.shape.rank();
    let what = if let Ok(op) = request.op::<Transpose>() {
        Move::Transpose(op.order(input.rank())?)
    } else if let Ok(op) = request.op::<Concat>() {
        Move::Concat(input.axis(op.axis)?)
    } else if request.op::<Expand>().is_ok() {
        Move::Expand
    } else if let Ok(op) = request.op::<Slice>() {
        Move::Slice(op.clone())
    } else if let Ok(op) = request.op::<Split>() {
        Move::Split(input.axis(op.axis)?)
    } else if request.op::<Tile>().is_ok() {
        axes *= 2;
        Move::Tile
    } else if let Ok(op) = request.op::<DepthToSpace>() {
        axes = 6;
        Move::Blocks(op.into())
    } else if let Ok(op) = request.op::<SpaceToDepth>() {
        axes = 6;
        Move::Blocks(op.into())
    } else {
        return Err(Error::internal("an operator that does not only move elements"));
    };
    if axes > MAX_AXES {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    Made::kernel(Kernel { program: program(request, axes)?, what })
}

/// The shader of strided copies with at most `axes` axes.
pub(super) fn program(request: &GpuRequest<'_>, axes: usize) -> Result<Arc<Program>> {
    let mut text = String::new();
    for axis in 0..axes {
        let step = |name: &str| format!("{name}_at += (rest % p.size[{axis}]) * p.{name}_step[{axis}];");
        writeln!(text, "    {} {}\n    rest = rest / p.size[{axis}];", step("x"), step("y"))
            .map_err(|error| Error::internal(error.to_string()))?;
    }
    request.program(&SHADER, &[("axes", &text)])
}

impl Kernel {
    /// The copy from operand `input` to result `output`.
    ///
    /// `before` is the size of earlier operands or results along the axis of a concatenation or split.
    fn walk(&self, run: &Recorder<'_>, input: usize, output: usize, before: usize) -> Result<StridedCopy> {
        let (x, y) = (run.input(input)?, run.output(output)?);
        let (x_steps, y_steps) = (steps(x), steps(y));
        let both = |shape: &[usize]| {
            (0..shape.len()).map(|axis| Axis { count: shape[axis], from: x_steps[axis], to: y_steps[axis] }).collect()
        };
        let along = |axis: usize| {
            let others = |shape: &[usize]| {
                let mut others = shape.to_vec();
                others[axis] = 0;
                others
            };
            let fits = x.len() == y.len() && others(x) == others(y);
            let what = || format!("{x:?} and {y:?} differ along other axes than {axis}");
            if fits { Ok(()) } else { Err(Error::invalid_input(what())) }
        };
        Ok(match &self.what {
            Move::Transpose(order) => {
                let axes = order.iter().zip(&y_steps);
                let axes = axes.map(|(&axis, &to)| Axis { count: x[axis], from: x_steps[axis], to });
                StridedCopy { axes: axes.collect(), ..StridedCopy::default() }
            }
            Move::Expand => {
                let added = y.len().checked_sub(x.len());
                let fits = |added: usize| x.iter().zip(&y[added..]).all(|(&own, &size)| own == 1 || own == size);
                let added = added
                    .filter(|&added| fits(added))
                    .ok_or_else(|| Error::invalid_input(format!("{x:?} is not broadcast to {y:?}")))?;
                let from = |axis: usize| match axis.checked_sub(added) {
                    Some(own) if x[own] != 1 => x_steps[own],
                    _ => 0,
                };
                let axes = (0..y.len()).map(|axis| Axis { count: y[axis], from: from(axis), to: y_steps[axis] });
                StridedCopy { axes: axes.collect(), ..StridedCopy::default() }
            }
            Move::Concat(axis) => {
                along(*axis)?;
                StridedCopy { from: 0, to: before * y_steps[*axis] as usize, axes: both(x) }
            }
            Move::Split(axis) => {
                along(*axis)?;
                StridedCopy { from: before * x_steps[*axis] as usize, to: 0, axes: both(y) }
            }
            Move::Slice(op) => {
                let (from, axes) = op.walk(|dim| run.eval(dim), x, y)?;
                StridedCopy { from, to: 0, axes: axes.to_vec() }
            }
            Move::Tile if y.contains(&0) => StridedCopy { axes: both(y), ..StridedCopy::default() },
            Move::Tile => StridedCopy { axes: tile::walk(x, y).to_vec(), ..StridedCopy::default() },
            Move::Blocks(blocks) => StridedCopy { axes: blocks.walk(x, y)?.to_vec(), ..StridedCopy::default() },
        })
    }
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let mut before = 0;
        if let Move::Split(axis) = self.what {
            for output in 0..run.output_count() {
                self.walk(run, 0, output, before)?.record(&self.program, run, 0, output)?;
                before += run.output(output)?[axis];
            }
            let size = run.input(0)?[axis];
            if before != size {
                let what = format!("axis {axis} of size {size} is cut into parts of {before} in all");
                return Err(Error::invalid_input(what));
            }
            return Ok(());
        }
        for input in 0..run.input_count() {
            self.walk(run, input, 0, before)?.record(&self.program, run, input, 0)?;
            if let Move::Concat(axis) = self.what {
                before += run.input(input)?[axis];
            }
        }
        Ok(())
    }
}

impl StridedCopy {
    fn record(&self, program: &Program, run: &mut Recorder<'_>, input: usize, output: usize) -> Result<()> {
        let Some(axes) = strided::join(self.axes.iter().copied()) else { return Ok(()) };
        let count: usize = axes.iter().map(|axis| axis.count).product();
        let mut words = vec![word(count)?, word(self.from)?, word(self.to)?];
        let none = Axis { count: 1, from: 0, to: 0 };
        let padded = || axes.iter().rev().copied().chain(std::iter::repeat(none)).take(MAX_AXES);
        for axis in padded() {
            words.push(word(axis.count)?);
        }
        // Steps are wrapping; the indices that they add up to are in range.
        words.extend(padded().map(|axis| axis.from as u32));
        words.extend(padded().map(|axis| axis.to as u32));
        let operands = [("x", Operand::Input(input)), ("y", Operand::Output(output))];
        run.dispatch(program, &operands, &words, count.div_ceil(256))
    }
}

/// Records a copy of an operand into a result with the same number of elements.
pub(super) fn copy(program: &Program, run: &mut Recorder<'_>, input: usize, output: usize) -> Result<()> {
    let count = run.output(output)?.iter().product();
    let walk = StridedCopy { axes: vec![Axis { count, from: 1, to: 1 }], ..StridedCopy::default() };
    walk.record(program, run, input, output)
}
