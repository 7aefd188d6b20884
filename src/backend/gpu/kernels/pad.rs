//! `Pad`, in each of its modes.

use std::{fmt::Write, sync::Arc};

use crate::{
    backend::gpu::{
        buffer,
        kernel::{GpuKernel, KernelDef, Made},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::moves::pad::{Pad, PadMode},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "pad", make };

const SHADER: Shader = wgsl!("pad");

/// Maximum number of axes, by the immediate data of the shader.
const MAX_AXES: usize = 8;

struct Kernel {
    program: Arc<Program>,
    op: Pad,
    value: u32,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Pad = request.op()?;
    let rank = request.input(0)?.shape.rank();
    if rank > MAX_AXES {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    let source = match op.mode {
        PadMode::Constant => "place",
        PadMode::Edge => "clamp(place, 0, size - 1)",
        PadMode::Reflect => "reflect(place, size)",
        PadMode::Wrap => "rest_of(place, size)",
    };
    let mut axes = String::new();
    for axis in 0..rank {
        let lines = [
            format!("own = source(i32(rest % p.size[{axis}]) - p.before[{axis}], i32(p.own[{axis}]));"),
            format!("inside = inside && u32(own) < p.own[{axis}];"),
            "x_at += u32(own) * step;".to_owned(),
            format!("step *= p.own[{axis}];"),
            format!("rest = rest / p.size[{axis}];"),
        ];
        for line in lines {
            writeln!(axes, "    {line}").map_err(|error| Error::internal(error.to_string()))?;
        }
    }
    let Ok(value) = op.value.as_deref().map_or(Ok(0), buffer::word_of) else {
        return Ok(Made::Host("a value that needs more than 32 bits"));
    };
    let program = request.program(&SHADER, &[("source", source), ("axes", &axes)])?;
    Made::kernel(Kernel { program, op: op.clone(), value })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, y) = (run.input(0)?, run.output(0)?);
        let count: usize = y.iter().product();
        if count == 0 {
            return Ok(());
        }
        if let Some(axis) = x.iter().position(|&size| size == 0 && self.op.mode != PadMode::Constant) {
            return Err(Error::invalid_input(format!("axis {axis} is empty and has nothing to be padded with")));
        }
        let mut before = Vec::with_capacity(x.len());
        for dim in &self.op.before {
            let places = run.eval(dim)?;
            let places = i32::try_from(places).map_err(|_| Error::limit(format!("{places} places before an axis")))?;
            before.push(places as u32);
        }
        let mut words = vec![word(count)?, self.value];
        for sizes in [y, x] {
            let mut column = [1; MAX_AXES];
            for (to, &size) in column.iter_mut().zip(sizes.iter().rev()) {
                *to = word(size)?;
            }
            words.extend(column);
        }
        before.reverse();
        before.resize(MAX_AXES, 0);
        words.splice(2 + MAX_AXES..2 + MAX_AXES, before);
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}
