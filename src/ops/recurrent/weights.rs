//! Weights of recurrent layers, packed at load or in a run.

use std::sync::Arc;

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        gemm::{Epilogue, Layout, Packed, gemm_dense},
    },
    op::{KernelRequest, Packing},
    ops::recurrent::{Cell, Recurrent, bytes::Bytes},
    tensor::Tensor,
};

/// The matrices of an operand: known at load, or packed in each run.
pub(super) struct Weights {
    packed: Option<Arc<[Packed]>>,
    /// One matrix of bytes for each way, instead.
    bytes: Vec<Bytes>,
    /// The rows of each matrix of a way.
    parts: Vec<usize>,
    columns: usize,
    set: KernelSet,
}

/// The matrices of a run.
pub(super) enum Matrices<'a> {
    Known(&'a [Packed]),
    Packed(Vec<Packed>),
    Bytes(&'a [Bytes]),
}

impl Matrices<'_> {
    /// Those of a way, which has `parts`.
    pub(super) fn of(&self, way: usize, parts: usize) -> Factors<'_> {
        let own = way * parts..(way + 1) * parts;
        match self {
            Self::Known(packed) => Factors::Packed(&packed[own]),
            Self::Packed(packed) => Factors::Packed(&packed[own]),
            Self::Bytes(bytes) => Factors::Bytes(&bytes[own]),
        }
    }
}

/// The matrices of one way.
#[derive(Clone, Copy)]
pub(super) enum Factors<'a> {
    Packed(&'a [Packed]),
    Bytes(&'a [Bytes]),
}

impl Factors<'_> {
    /// The product of `rows` rows and one matrix, plus a bias, plus a summand of its size.
    pub(super) fn product(
        &self,
        set: KernelSet,
        matrix: usize,
        x: &[f32],
        rows: usize,
        [bias, summand]: [Option<&[f32]>; 2],
        to: &mut [f32],
    ) -> Result<()> {
        match self {
            Self::Packed(all) => {
                let epilogue = Epilogue { bias, residual: summand, ..Epilogue::default() };
                gemm_dense(set, x, rows, (&all[matrix]).into(), &epilogue, to, &mut [])
            }
            Self::Bytes(all) => {
                all[matrix].product(set, x, rows, bias, to)?;
                to.iter_mut().zip(summand.unwrap_or_default()).for_each(|(to, x)| *to += x);
                Ok(())
            }
        }
    }
}

impl Weights {
    /// Of the input, operand 1.
    pub(super) fn of_input(request: &KernelRequest<'_>, rows: usize, columns: usize) -> Result<Self> {
        Self::new(request, 1, "recurrent input", vec![rows], columns)
    }

    /// Of the state, operand 2. Where the reset gate comes before the product, the gates and the
    /// candidate are multiplied apart.
    pub(super) fn of_state(request: &KernelRequest<'_>, op: &Recurrent, size: usize) -> Result<Self> {
        let parts = match op.cell {
            Cell::Gru { linear_before_reset: false } => vec![2 * size, size],
            cell => vec![cell.gates() * size],
        };
        Self::new(request, 2, "recurrent state", parts, size)
    }

    fn new(
        request: &KernelRequest<'_>,
        operand: usize,
        name: &'static str,
        parts: Vec<usize>,
        columns: usize,
    ) -> Result<Self> {
        let set = request.kernel_set();
        let packing = Packing { name, parameter: parts.len() as u64 };
        let pack_all = |tensor: &Tensor| pack(set, &parts, columns, tensor.as_slice()?);
        let packed = request.take_packed(operand, packing, pack_all)?;
        Ok(Self { packed, bytes: Vec::new(), parts, columns, set })
    }

    /// Of bytes, whose scale and zero point follow one another.
    pub(super) fn of_bytes(request: &KernelRequest<'_>, operand: usize, scale: usize) -> Result<Self> {
        let bytes = Bytes::all(request, operand, scale)?;
        Ok(Self { packed: None, bytes, parts: vec![0], columns: 0, set: request.kernel_set() })
    }

    /// Bytes that no other node shares.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.iter().map(Bytes::byte_len).sum()
    }

    /// The matrices, from the operand where they were not known at load.
    pub(super) fn matrices<'a>(&self, operand: impl FnOnce() -> Result<&'a [f32]>) -> Result<Matrices<'_>> {
        match &self.packed {
            _ if !self.bytes.is_empty() => Ok(Matrices::Bytes(&self.bytes)),
            Some(packed) => Ok(Matrices::Known(packed)),
            None => pack(self.set, &self.parts, self.columns, operand()?).map(Matrices::Packed),
        }
    }

    /// Matrices of each way.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }
}

/// The matrices of `data`, one after another for each way.
fn pack(set: KernelSet, parts: &[usize], columns: usize, mut data: &[f32]) -> Result<Vec<Packed>> {
    let mut all = Vec::new();
    while !data.is_empty() {
        for &rows in parts {
            let (own, rest) = data.split_at(rows * columns);
            all.push(Packed::new(set, own, columns, rows, Layout::Transposed)?);
            data = rest;
        }
    }
    Ok(all)
}
