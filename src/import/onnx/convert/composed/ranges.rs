//! Ranges of floating-point numbers that end with a size of the graph.

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::onnx::convert::{
        call::Call,
        composed::{Composer, attributes},
    },
    ops::{generate::range::Range, wide},
    shape::Dim,
    tensor::DType,
};

/// Up to here all integers are numbers of f32.
const MOST: f64 = (1 << 24) as f64;

/// A range by whole steps, whose end is an integer in floating point.
struct SizedRange {
    start: f32,
    step: i64,
    end: Dim,
    dtype: DType,
}

impl SizedRange {
    fn of(graph: &Graph, call: &Call<'_>) -> Option<Self> {
        let [Some(start), Some(end), Some(step)] = call.inputs[..] else { return None };
        let dtype = graph.fact(end).dtype;
        if !matches!(dtype, DType::F32 | DType::F64) || graph.constant_of(end).is_some() {
            return None;
        }
        let number = |id: ValueId| {
            let tensor = graph.constant_of(id).filter(|tensor| tensor.dtype() == dtype)?;
            wide::read(tensor.view()).ok()?.first().copied()
        };
        let (start, step) = (number(start)?, number(step)?);
        let is_small = |x: f64| x.abs() <= MOST;
        if step < 1.0 || step.fract() != 0.0 || !is_small(step) || !is_small(start) || f64::from(start as f32) != start
        {
            return None;
        }
        let [end] = graph.fact(end).elements.as_deref()? else { return None };
        Some(Self { start: start as f32, step: step as i64, end: end.clone(), dtype })
    }
}

/// Whether the numbers of a `Range` can be counted before it runs.
pub(super) fn is_sized(graph: &Graph, call: &Call<'_>) -> bool {
    SizedRange::of(graph, call).is_some()
}

/// `start`, `start + step`, ... below `end`, from integers.
pub(super) fn sized(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    attributes(call, |node| node.int("stash_type"))?;
    let range = SizedRange::of(own.graph(), call);
    let SizedRange { start, step, end, dtype } = range.ok_or_else(|| Error::internal("a range without its size"))?;
    let above = &end - &Dim::number(start.floor() as i64);
    let count = Dim::max(&above.ceil_div(&Dim::number(step)), &Dim::number(0));
    let integers = Range { start: Dim::number(0), limit: count, step: 1, dtype: DType::I64 };
    let name = own.name;
    let integers = own.graph().apply(name, integers, &[])?;
    let numbers = own.cast(integers, dtype)?;
    let stepped = if step == 1 { numbers } else { own.times(numbers, step as f32)? };
    let start = own.number(start, dtype)?;
    Ok(vec![own.of("Add", &[stepped, start])?])
}
