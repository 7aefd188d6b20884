//! Reductions over axes, and the global pools.

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
    ops::{
        pool::{GlobalPool, NO_LP, PoolFunction},
        reduce::{Reduce, ReduceFunction},
    },
    shape::strides,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "reduce", make };

const SHADER: Shader = wgsl!("reduce");

/// Maximum number of groups of adjacent kept axes, and of adjacent reduced axes.
const MAX_GROUPS: usize = 4;

struct Kernel {
    program: Arc<Program>,
    reduced: Vec<bool>,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    use ReduceFunction as F;
    if let Ok(pool) = request.op::<GlobalPool>() {
        return global(request, pool);
    }
    let op: &Reduce = request.op()?;
    let input = request.input(0)?;
    let reduced = op.reduced(input.shape.rank())?;
    if input.dtype != DType::F32 {
        return Ok(Made::Host("sums of integers may need more bits than a GPU carries"));
    }
    if reduced.len() > 2 * MAX_GROUPS {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    let formula = match op.function {
        F::L1 => Formula { each: "abs(v)", ..SUM },
        F::L2 => Formula { each: "v * v", last: "sqrt(total)", ..SUM },
        F::LogSum => Formula { last: "log_of(total)", ..SUM },
        // Relative to the largest element, so that no exponential overflows.
        F::LogSumExp => Formula { each: "exp(v - largest)", last: "log_of(total) + largest", before: LARGEST, ..SUM },
        F::Max => MAX,
        F::Mean => MEAN,
        F::Min => Formula { combine: "smaller(a, b)", whole: "whole", first: "infinity()", ..SUM },
        F::Prod => Formula { combine: "a * b", whole: "whole", first: "1.0", ..SUM },
        F::Sum => SUM,
        F::SumSquare => Formula { each: "v * v", ..SUM },
    };
    kernel(request, formula, reduced)
}

/// WGSL for the largest element, or 0 if it is not finite.
const LARGEST: &str = "    var own_largest = -infinity();
    for (var i = lane; i < p.count; i += 64u) {
        own_largest = larger(own_largest, x[position(start, i)]);
    }
    let most = row_max(lane, own_largest);
    let largest = select(most, 0.0, is_nan(most) || is_infinite(most));";

/// `GlobalMaxPool` and `GlobalAveragePool`: reductions over all axes after the channels.
fn global(request: &GpuRequest<'_>, pool: &GlobalPool) -> Result<Made> {
    let formula = match pool.function {
        PoolFunction::Max => MAX,
        PoolFunction::Average { .. } => MEAN,
        PoolFunction::Lp(_) => return Ok(Made::Host(NO_LP)),
    };
    let rank = request.input(0)?.shape.rank();
    if rank > 2 * MAX_GROUPS {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    kernel(request, formula, (0..rank).map(|axis| axis > 1).collect())
}

/// A reduction as WGSL expressions.
struct Formula {
    /// Combines the partial results `a` and `b`.
    combine: &'static str,
    /// Function that combines the partial results of all invocations; may use subgroups.
    whole: &'static str,
    /// The result of no elements.
    first: &'static str,
    /// The contribution of an element `v`.
    each: &'static str,
    /// The result, from the `total`.
    last: &'static str,
    /// Statements before the reduction.
    before: &'static str,
}

const SUM: Formula = Formula { combine: "a + b", whole: "row_sum", first: "0.0", each: "v", last: "total", before: "" };
const MEAN: Formula = Formula { last: "total / f32(p.count)", ..SUM };
const MAX: Formula = Formula { combine: "larger(a, b)", whole: "row_max", first: "-infinity()", ..SUM };

fn kernel(request: &GpuRequest<'_>, formula: Formula, reduced: Vec<bool>) -> Result<Made> {
    let axes = |name: &str, at: &str| {
        let mut text = String::new();
        for group in 0..MAX_GROUPS {
            writeln!(text, "    {at} += (rest % p.{name}[{group}]) * p.{name}_step[{group}];").ok()?;
            writeln!(text, "    rest = rest / p.{name}[{group}];").ok()?;
        }
        Some(text)
    };
    let (Some(kept), Some(gone)) = (axes("kept", "start"), axes("gone", "at")) else {
        return Err(Error::internal("a text could not be written"));
    };
    let values = [
        ("combine", formula.combine),
        ("whole", formula.whole),
        ("first", formula.first),
        ("each", formula.each),
        ("last", formula.last),
        ("before", formula.before),
        ("kept", &*kept),
        ("gone", &*gone),
    ];
    Made::kernel(Kernel { program: request.program(&SHADER, &values)?, reduced })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let steps = strides(shape);
        // Adjacent axes of one kind form a group, from the last to the first.
        let mut groups: [Vec<(usize, usize)>; 2] = [Vec::new(), Vec::new()];
        let mut before = None;
        for axis in (0..shape.len()).rev().filter(|&axis| shape[axis] != 1) {
            let reduced = self.reduced[axis];
            let own = &mut groups[usize::from(reduced)];
            match own.last_mut().filter(|_| before == Some(reduced)) {
                Some((size, _)) => *size *= shape[axis],
                None => own.push((shape[axis], steps[axis])),
            }
            before = Some(reduced);
        }
        let len = |groups: &[(usize, usize)]| groups.iter().map(|(size, _)| size).product::<usize>();
        let (results, count) = (len(&groups[0]), len(&groups[1]));
        run.loops(2 * count.div_ceil(64))?;
        let mut words = vec![word(results)?, word(count)?];
        for groups in &groups {
            for column in 0..2 {
                for group in 0..MAX_GROUPS {
                    let (size, step) = groups.get(group).copied().unwrap_or((1, 0));
                    words.push(word(if column == 0 { size.max(1) } else { step })?);
                }
            }
        }
        run.dispatch(&self.program, &[("x", Operand::Input(0)), ("y", Operand::Output(0))], &words, results)
    }
}
