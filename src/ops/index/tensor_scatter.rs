//! `TensorScatter`: new elements written into a cache along one axis.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Dim, normalize_axis},
    tensor::DType,
};

/// Operand 0 with operand 1 written over it along an axis.
///
/// Operand 2 says for each item where it begins; 0 where it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorScatter {
    /// The axis, not the first; negative counts from the end.
    pub axis: i64,
    /// Whether what goes past the end is written from the front on; else it is an error.
    pub circular: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "TensorScatter",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<TensorScatter>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let circular = match node.string("mode")?.as_deref() {
        None | Some("linear") => false,
        Some("circular") => true,
        Some(other) => return Err(Error::invalid_model(format!("`mode` is `{other}`, expected linear or circular"))),
    };
    Ok(Arc::new(TensorScatter { axis: node.int("axis")?.unwrap_or(-2), circular }))
}

impl Operator for TensorScatter {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let (cache, update) = (inputs.required(0)?, inputs.required(1)?);
        let misfit = || Error::invalid_model(format!("an update {update} of {cache}"));
        let axis = cache.shape.axis(self.axis)?;
        if axis == 0 {
            return Err(Error::invalid_model("the axis is the first one, which is that of the items"));
        }
        if update.dtype != cache.dtype || update.shape.rank() != cache.shape.rank() {
            return Err(misfit());
        }
        for own in (0..cache.shape.rank()).filter(|&own| own != axis) {
            inputs.equal("an axis of the update", &cache.shape[own], &update.shape[own]).map_err(|_| misfit())?;
        }
        if let Some(starts) = inputs.fact(2) {
            if starts.dtype != DType::I64 || starts.shape.rank() != 1 {
                return Err(Error::invalid_model(format!("operand 2 is {starts}, expected a list of i64")));
            }
            inputs.equal("the number of positions", &cache.shape[0], &starts.shape[0])?;
        }
        Ok(vec![Fact::new(cache.dtype, cache.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let first = |(index, axis): (usize, &Option<usize>)| inputs.fact(index).is_none() || *axis == Some(0);
        axes.iter().enumerate().all(first).then(|| vec![Some(0)])
    }
}

fn run(op: &TensorScatter, io: &mut Io<'_>) -> Result<()> {
    let (cache, update) = (io.input(0)?, io.input(1)?);
    let starts = io.inputs.get(2).copied().flatten().map(|view| view.slice::<i64>()).transpose()?;
    let axis = normalize_axis(op.axis, cache.shape.len())?;
    let (room, count) = (cache.shape[axis], update.shape[axis]);
    let outer: usize = cache.shape[1..axis].iter().product();
    let row = cache.shape[axis + 1..].iter().product::<usize>() * cache.dtype.size();
    let output = io.output(0)?;
    output.bytes.copy_from_slice(cache.bytes);
    if update.bytes.is_empty() {
        return Ok(());
    }
    for item in 0..cache.shape[0] {
        let start = starts.map_or(0, |starts| starts[item]);
        let start = match op.circular {
            true if room > 0 => start.rem_euclid(room as i64) as usize,
            _ => usize::try_from(start)
                .ok()
                .filter(|start| start.checked_add(count).is_some_and(|end| end <= room))
                .ok_or_else(|| {
                    Error::invalid_input(format!("item {item}: {count} elements from {start} on do not fit {room}"))
                })?,
        };
        for block in item * outer..(item + 1) * outer {
            for index in 0..count {
                let (from, to) = (block * count + index, block * room + (start + index) % room);
                output.bytes[to * row..(to + 1) * row].copy_from_slice(&update.bytes[from * row..(from + 1) * row]);
            }
        }
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |axis, circular| TensorScatter { axis, circular };
    vec![
        Case::new("from the front", of(-2, false))
            .value(&[2, 3, 4, 2], Fill::Spread)
            .value(&[2, 3, 1, 2], Fill::Hostile),
        Case::new("from a place", of(1, false))
            .value(&[3, 5, 2], Fill::Spread)
            .value(&[3, 2, 2], Fill::Large)
            .integers(&[3], &[0, 3, 1]),
        Case::new("round the end", of(-1, true))
            .value(&[2, 2, 4], Fill::Spread)
            .value(&[2, 2, 3], Fill::Large)
            .integers(&[2], &[3, 6]),
        Case::new("nothing", of(-1, true)).value(&[2, 4], Fill::Spread).value(&[2, 0], Fill::Spread),
    ]
}
