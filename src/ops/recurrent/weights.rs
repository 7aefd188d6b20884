//! Weights of recurrent layers, packed at load or in a run.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Epilogue, Layout, Packed, PackedRef, gemm_dense},
        recurrent,
    },
    op::{KernelRequest, Packing},
    ops::recurrent::{Cell, Recurrent, bytes::Bytes},
};

/// The matrices of an operand: known at load, or packed in each run.
pub(super) struct Weights {
    packed: Option<Arc<[Packed]>>,
    /// One matrix of bytes for each way, instead.
    bytes: Vec<Bytes>,
    order: Order,
    columns: usize,
    set: KernelSet,
}

/// How the rows of a way's weights are packed.
enum Order {
    /// A matrix of so many rows, after another.
    Parts(Vec<usize>),
    /// One matrix of groups of all gates, as a layer of usual functions reads it.
    Groups { gates: usize, size: usize },
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

impl<'a> Factors<'a> {
    /// The only matrix, which is packed.
    pub(super) fn only(self) -> Result<PackedRef<'a>> {
        match self {
            Self::Packed([packed]) => Ok(packed.into()),
            _ => Err(Error::internal("a layer of usual functions has one packed matrix of a kind")),
        }
    }

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
        Self::new(request, 1, Order::Parts(vec![rows]), columns)
    }

    /// Of the state, operand 2. Where the reset gate comes before the product, the gates and the
    /// candidate are multiplied apart.
    pub(super) fn of_state(request: &KernelRequest<'_>, op: &Recurrent, size: usize) -> Result<Self> {
        let parts = match op.cell {
            Cell::Gru { linear_before_reset: false } => vec![2 * size, size],
            cell => vec![cell.gates() * size],
        };
        Self::new(request, 2, Order::Parts(parts), size)
    }

    /// Of a layer of usual functions, `columns` numbers a row.
    pub(super) fn by_groups(
        request: &KernelRequest<'_>,
        operand: usize,
        op: &Recurrent,
        [size, columns]: [usize; 2],
    ) -> Result<Self> {
        Self::new(request, operand, Order::Groups { gates: op.cell.gates(), size }, columns)
    }

    fn new(request: &KernelRequest<'_>, operand: usize, order: Order, columns: usize) -> Result<Self> {
        let set = request.kernel_set();
        let packing = match &order {
            Order::Parts(parts) => Packing { name: "recurrent", parameter: parts.len() as u64 },
            Order::Groups { gates, .. } => Packing { name: "recurrent groups", parameter: *gates as u64 },
        };
        let packed = request.take_packed(operand, packing, |tensor| order.pack(set, columns, tensor.as_slice()?))?;
        Ok(Self { packed, bytes: Vec::new(), order, columns, set })
    }

    /// Of bytes, whose scale and zero point follow one another.
    pub(super) fn of_bytes(request: &KernelRequest<'_>, operand: usize, scale: usize) -> Result<Self> {
        let bytes = Bytes::all(request, operand, scale)?;
        Ok(Self { packed: None, bytes, order: Order::Parts(vec![0]), columns: 0, set: request.kernel_set() })
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
            None => self.order.pack(self.set, self.columns, operand()?).map(Matrices::Packed),
        }
    }

    /// Matrices of each way.
    pub(super) fn parts(&self) -> usize {
        match &self.order {
            Order::Parts(parts) => parts.len(),
            Order::Groups { .. } => 1,
        }
    }
}

impl Order {
    /// The matrices of `data`, one after another for each way.
    fn pack(&self, set: KernelSet, columns: usize, mut data: &[f32]) -> Result<Vec<Packed>> {
        let mut all = Vec::new();
        while !data.is_empty() {
            match self {
                Self::Parts(parts) => {
                    for &rows in parts {
                        let (own, rest) = data.split_at(rows * columns);
                        all.push(Packed::new(set, own, columns, rows, Layout::Transposed)?);
                        data = rest;
                    }
                }
                Self::Groups { gates, size } => {
                    let (own, rest) = data.split_at(gates * size * columns);
                    all.push(recurrent::pack(set, own, *gates, *size, columns)?);
                    data = rest;
                }
            }
        }
        Ok(all)
    }
}
