//! `RotaryHeads`: queries and keys of packed rows, normalized head by head and turned by their positions.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::rotary::RotaryHeads as Heads,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::product::attention::packed::head_dim,
    tensor::{DType, Tensor},
};

/// Heads of queries and keys, divided by their root mean square and turned by their positions.
///
/// Operands: `qkv [rows, (heads + 2 key_heads) D]`; optionally `positions [rows]` (i32) with `cosines` and `sines`
/// `[P, turned / 2]`; optionally the factors `[D]` of normalized queries and of keys. The pairs of columns `i` and
/// `i + turned / 2` of a head are turned. Result: as `qkv`. Made by importers only.
///
/// Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryHeads {
    /// The number of heads of queries.
    pub heads: usize,
    /// The number of heads of keys, and of values.
    pub key_heads: usize,
    /// The columns of a head that are turned, from the first on; even.
    pub turned: usize,
    /// Added to the mean square.
    pub epsilon: f32,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "RotaryHeads",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("rotary_heads"),
};

impl RotaryHeads {
    fn head_dim(&self, columns: usize) -> Option<usize> {
        head_dim(self.heads, self.key_heads, columns)
    }
}

impl Operator for RotaryHeads {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(4, 6)?;
        let qkv = inputs.required(0)?;
        let columns = match qkv.shape.dims() {
            [_, columns] if qkv.dtype == DType::F32 => {
                columns.as_fixed().and_then(|columns| usize::try_from(columns).ok())
            }
            _ => None,
        };
        let misfit = |what: &str| Error::invalid_model(format!("rotary heads of {qkv}: {what}"));
        let head_dim = columns.and_then(|columns| self.head_dim(columns)).ok_or_else(|| misfit("no whole heads"))?;
        if self.turned > head_dim || !self.turned.is_multiple_of(2) {
            return Err(misfit("more columns to turn than a head has, or an odd number"));
        }
        let fixed = |index: usize| -> Option<Vec<Option<i64>>> {
            inputs.fact(index).map(|fact| fact.shape.dims().iter().map(|dim| dim.as_fixed()).collect())
        };
        let pairs = self.turned as i64 / 2;
        let tables = (fixed(2), fixed(3));
        match (inputs.fact(1), tables) {
            (None, (None, None)) => {}
            (Some(positions), (Some(cosines), Some(sines)))
                if positions.dtype == DType::I32 && cosines == sines && cosines.last() == Some(&Some(pairs)) => {}
            _ => return Err(misfit("positions and their tables do not fit")),
        }
        if (4..inputs.len()).any(|index| fixed(index).is_some_and(|own| own != [Some(head_dim as i64)]))
            || inputs.fact(4).is_some() != inputs.fact(5).is_some()
        {
            return Err(misfit("the factors do not fit"));
        }
        Ok(vec![Fact::new(DType::F32, qkv.shape.clone())])
    }
}

struct Kernel {
    op: RotaryHeads,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: *request.op()? }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let RotaryHeads { heads, key_heads, turned, epsilon } = self.op;
        let qkv = io.input(0)?;
        let optional = |index: usize| -> Result<Option<&[f32]>> {
            io.inputs.get(index).copied().flatten().map(|view| view.slice::<f32>()).transpose()
        };
        let (tables, scales) = (optional(2)?.zip(optional(3)?), optional(4)?.zip(optional(5)?));
        let positions = match io.inputs.get(1).copied().flatten() {
            Some(positions) => Some(positions.slice::<i32>()?),
            None => None,
        };
        let columns = qkv.shape[1];
        let head_dim = self.op.head_dim(columns).ok_or_else(|| Error::internal("rows of other columns"))?;
        let prepared = Heads { heads, key_heads, head_dim, scales, epsilon, tables, turned };
        if positions.is_some_and(|positions| positions.len() != qkv.shape[0]) {
            return Err(Error::invalid_input(format!("rotary heads of {:?} with other positions", qkv.shape)));
        }
        let (from, to) = (qkv.slice::<f32>()?, io.output(0)?.slice::<f32>()?);
        to.copy_from_slice(from);
        if columns == 0 {
            return Ok(());
        }
        for (index, row) in to.chunks_exact_mut(columns).enumerate() {
            prepared.prepare(row, positions.map_or(0, |positions| positions[index]))?;
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let op = |heads, key_heads, turned| RotaryHeads { heads, key_heads, turned, epsilon: 1e-6 };
    let positions = |all: &[i32]| Tensor::new([all.len()], all).expect("as many as there are");
    let spread = Fill::Spread;
    vec![
        Case::new("turned", op(2, 2, 8))
            .value(&[5, 6 * 8], spread)
            .tensor(positions(&[0, 1, 2, 0, 1]))
            .constant(&[3, 4], spread)
            .constant(&[3, 4], spread),
        Case::new("turned in part", op(4, 1, 6))
            .value(&[3, 6 * 10], spread)
            .tensor(positions(&[2, 0, 1]))
            .constant(&[3, 3], spread)
            .constant(&[3, 3], spread),
        Case::new("normalized and turned", op(4, 2, 16))
            .value(&[3, 8 * 16], spread)
            .tensor(positions(&[1, 0, 1]))
            .constant(&[2, 8], spread)
            .constant(&[2, 8], spread)
            .constant(&[16], spread)
            .constant(&[16], spread),
        Case::new("no rows", op(2, 2, 8))
            .value(&[0, 6 * 8], spread)
            .tensor(positions(&[]))
            .constant(&[3, 4], spread)
            .constant(&[3, 4], spread),
    ]
}
