//! `RotaryHeads`: queries and keys of packed rows, normalized head by head and turned by their positions.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::code::bindings,
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::product::attention::RotaryHeads,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "rotary_heads", make };

const SHADER: Shader = wgsl!("rotary_heads");

/// WGSL that divides a head by its root mean square.
const LENGTH: &str = "    var part = 0.0;
    for (var i = lane; i < p.columns; i += 64u) {
        part += qkv[start + i] * qkv[start + i];
    }
    factor = 1.0 / sqrt(row_sum(lane, part) / f32(p.columns) + p.epsilon);";

/// WGSL for a column of a head divided by its length.
const NORMALIZED: &str = "qkv[start + i] * factor * select(key_scale[i], query_scale[i], head < p.queries)";

/// WGSL for the first angle of a row.
const POSITION: &str = "    let position = positions[number / p.all];
    if position < 0 || u32(position) >= p.positions {
        report_fault(p.step);
        return;
    }
    let first_angle = u32(position) * p.pairs;";

/// WGSL that turns a column with the other one of its pair.
const TURN: &str = "        if i < 2u * p.pairs {
            let pair = i % p.pairs;
            let other = column(select(i - p.pairs, i + p.pairs, i < p.pairs));
            let sine = sines[first_angle + pair];
            own = own * cosines[first_angle + pair] + other * select(sine, -sine, i < p.pairs);
        }";

/// The operands beside the rows: a name in the shader, and the element type.
const FURTHER: [(&str, &str); 5] =
    [("positions", "i32"), ("cosines", "f32"), ("sines", "f32"), ("query_scale", "f32"), ("key_scale", "f32")];

struct Kernel {
    program: Arc<Program>,
    op: RotaryHeads,
    operands: Vec<(&'static str, Operand)>,
    is_turned: bool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: RotaryHeads = *request.op()?;
    let mut bound = vec![("qkv", "f32", false), ("y", "f32", true)];
    let mut operands = vec![("qkv", Operand::Input(0)), ("y", Operand::Output(0)), ("fault", Operand::Fault)];
    for (index, (name, kind)) in (1..).zip(FURTHER) {
        if request.inputs().fact(index).is_some() {
            bound.push((name, kind, false));
            operands.push((name, Operand::Input(index)));
        }
    }
    let has = |name: &str| bound.iter().any(|(own, ..)| *own == name);
    let (is_turned, is_normalized) = (has("positions") && op.turned > 0, has("query_scale"));
    let values = [
        ("bindings", &*bindings(&bound)),
        ("column", if is_normalized { NORMALIZED } else { "qkv[start + i]" }),
        ("length", if is_normalized { LENGTH } else { "" }),
        ("position", if is_turned { POSITION } else { "" }),
        ("turn", if is_turned { TURN } else { "" }),
    ];
    let program = request.program(&SHADER, &values)?;
    Made::kernel(Kernel { program, op, operands, is_turned })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let RotaryHeads { heads, key_heads, turned, epsilon } = self.op;
        let &[rows, width] = run.input(0)? else { return Err(Error::internal("rows that are no matrix")) };
        let all = heads + 2 * key_heads;
        let columns = width.checked_div(all).unwrap_or(0);
        let positions = if self.is_turned { run.input(2)?[0] } else { 0 };
        if self.is_turned && run.input(1)? != [rows] {
            return Err(Error::invalid_input(format!("rotary heads of {rows} rows with other positions")));
        }
        let groups = if columns == 0 { 0 } else { rows * all };
        let words = [
            word(groups)?,
            word(all)?,
            word(heads)?,
            word(heads + key_heads)?,
            word(columns)?,
            word(turned / 2)?,
            word(positions)?,
            run.step(),
            epsilon.to_bits(),
        ];
        run.loops(2 * columns.div_ceil(64))?;
        run.dispatch(&self.program, &self.operands, &words, groups)
    }
}
