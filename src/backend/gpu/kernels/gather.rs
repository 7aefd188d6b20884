//! `Gather`: rows selected by index, from tables that may span several bindings.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        buffer,
        kernel::{GpuKernel, KernelDef, Made},
        kernels::held::Held,
        operand::{Operand, WeightId},
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    op::Packing,
    ops::index::gather::{Gather, OutOfRange},
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "gather", make };

const SHADER: Shader = wgsl!("gather");

struct Kernel {
    program: Arc<Program>,
    axis: usize,
    outside: OutOfRange,
    table: Option<Table>,
}

/// WGSL for an element of a table in f16.
const HALF: &str = "bitcast<u32>(p.scale * unpack2x16float(x[at / 2u] >> (16u * (at & 1u))).x)";

/// A constant table in parts of `rows_of_part` rows; the last part may have fewer.
struct Table {
    parts: Arc<[WeightId]>,
    shape: Vec<usize>,
    rows_of_part: usize,
    held: Held,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Gather = request.op()?;
    let data = request.input(0)?;
    let axis = data.shape.axis(op.axis)?;
    let table = match request.constant(0) {
        Some(tensor) if axis == 0 && !tensor.is_empty() => {
            let shape = tensor.shape().to_vec();
            let columns = shape[1..].iter().product::<usize>();
            // Two numbers of f16 share a word, so rows of an odd length would begin within one.
            let in_halves = tensor.dtype() == DType::F32 && columns.is_multiple_of(2);
            let held = match tensor.as_slice::<f32>() {
                Ok(numbers) if in_halves => Held::of(request.format, numbers.iter().copied()),
                _ => Held::AS_THEY_ARE,
            };
            let row = held.bytes() * columns;
            let rows_of_part = (request.binding_limit as usize / row.max(1)).clamp(1, shape[0]);
            let name = if held.is_half() { "table in f16" } else { "table" };
            let parts = request.take_weight(0, Packing { name, parameter: rows_of_part as u64 }, |tensor| {
                let mut bytes = Vec::new();
                match tensor.as_slice::<f32>() {
                    Ok(numbers) if held.is_half() => {
                        bytes.resize(2 * numbers.len(), 0);
                        bytes.chunks_exact_mut(2).zip(numbers).for_each(|(to, &number)| held.write(number, to));
                    }
                    _ => buffer::encode(tensor.dtype(), tensor.bytes(), &mut bytes)?,
                }
                Ok(bytes.chunks((rows_of_part * row).max(4)).map(<[u8]>::to_vec).collect())
            })?;
            parts.map(|parts| Table { parts, shape, rows_of_part, held })
        }
        _ => None,
    };
    let element = if table.as_ref().is_some_and(|table| table.held.is_half()) { HALF } else { "x[at]" };
    let program = request.program(&SHADER, &[("element", element)])?;
    Made::kernel(Kernel { program, axis, outside: op.outside, table })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = match &self.table {
            Some(table) => table.shape.clone(),
            None => run.input(0)?.to_vec(),
        };
        let rows = shape[self.axis];
        let inner: usize = shape[self.axis + 1..].iter().product();
        let indices: usize = run.input(1)?.iter().product();
        let count: usize = run.output(0)?.iter().product();
        let outside = match self.outside {
            OutOfRange::Error => u32::MAX,
            OutOfRange::Row(row) => word(row)?,
        };
        // The indices of an empty result are still checked, as if each selected a row of one element.
        let (inner, count) = if count == 0 { (1, indices) } else { (inner, count) };
        let parts: Vec<(Operand, usize, usize)> = match &self.table {
            None => vec![(Operand::Input(0), 0, rows)],
            Some(table) => {
                let part = |(index, &id): (usize, &WeightId)| {
                    let first = index * table.rows_of_part;
                    (Operand::Weight(id), first, table.rows_of_part.min(rows - first))
                };
                table.parts.iter().enumerate().map(part).collect()
            }
        };
        let scale = self.table.as_ref().map_or(Held::AS_THEY_ARE, |table| table.held).factor();
        let empty = run.output(0)?.iter().product::<usize>() == 0;
        for (table, first, part) in parts {
            let part = if empty { 0 } else { part };
            let words = [
                word(inner)?,
                word(indices.max(1))?,
                word(rows)?,
                word(first)?,
                word(part)?,
                word(count)?,
                outside,
                run.step(),
                scale,
            ];
            let operands =
                [("x", table), ("indices", Operand::Input(1)), ("y", Operand::Output(0)), ("fault", Operand::Fault)];
            run.dispatch(&self.program, &operands, &words, count.div_ceil(256))?;
        }
        Ok(())
    }
}
