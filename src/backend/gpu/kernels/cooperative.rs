//! Products by cooperative matrices: rows rounded to f16, multiplied, and the epilogue applied.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        cooperative::Matrices,
        kernels::{
            code::{bindings, borrowed},
            matrix_code::{EACH, SIDE, TILE, values_of},
        },
        operand::{Operand, WeightFormat},
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
};

/// Rounds rows to f16.
const HALVES: Shader = wgsl!("halves");
/// Sums products.
const MATRICES: Shader = wgsl!("cooperative");
/// Applies the epilogue.
const FOLLOW: Shader = wgsl!("follow");

/// Least columns that are worth a tile.
const LEAST_COLUMNS: usize = 33;

/// The shaders of one product.
pub(super) struct Cooperative {
    way: Matrices,
    halves: Arc<Program>,
    matrices: Arc<Program>,
    follow: Arc<Program>,
    k: usize,
    n: usize,
}

/// The epilogue of a product, as WGSL.
pub(super) struct EpilogueCode<'a> {
    pub activation: &'a str,
    pub bias: bool,
    pub residual: bool,
}

/// One part of the packed weights; `width` counts the columns with padding.
pub(super) struct Part {
    pub weights: Operand,
    pub first: usize,
    pub columns: usize,
    pub width: usize,
}

impl Cooperative {
    /// The shaders of a product with packed weights `k x n`, `None` if it does not use cooperative matrices.
    pub(super) fn new(
        request: &GpuRequest<'_>,
        (k, n): (usize, usize),
        follow: &EpilogueCode<'_>,
    ) -> Result<Option<Self>> {
        let Some(way) = request.matrices.filter(|_| request.format == WeightFormat::F16) else { return Ok(None) };
        if !n.is_multiple_of(SIDE) || n < LEAST_COLUMNS || k < SIDE {
            return Ok(None);
        }
        let mut bound = vec![("y", "f32", true)];
        let mut also = |name, is_bound: bool| bound.extend(is_bound.then_some((name, "f32", false)));
        also("bias", follow.bias);
        also("residual", follow.residual);
        let values = [
            ("bindings", bindings(&bound)),
            ("activation", follow.activation.to_owned()),
            ("bias", if follow.bias { " + bias[own]" } else { "" }.to_owned()),
            ("residual", if follow.residual { " + residual[at]" } else { "" }.to_owned()),
        ];
        Ok(Some(Self {
            way,
            halves: request.program(&HALVES, &[])?,
            matrices: request.program(&MATRICES, &borrowed(&values_of(way)))?,
            follow: request.program(&FOLLOW, &borrowed(&values))?,
            k,
            n,
        }))
    }

    /// Elements of a row of f16, padded to whole matrices.
    pub(super) fn width(&self) -> usize {
        self.k.next_multiple_of(SIDE)
    }

    /// Bytes of `rows` rows of f16.
    pub(super) fn scratch_bytes(&self, rows: usize) -> u64 {
        (rows * self.width() * 2) as u64
    }

    /// Whether `rows` fill at least one matrix.
    pub(super) fn takes(&self, rows: usize) -> bool {
        rows >= SIDE
    }

    /// Records the rounding of the rows to f16, into the scratch.
    pub(super) fn round(&self, run: &mut Recorder<'_>, rows: usize) -> Result<()> {
        let words = [word(rows)?, word(self.k)?, word(self.width() / 2)?];
        let groups = (rows * self.width() / 2).div_ceil(256);
        run.dispatch(&self.halves, &[("x", Operand::Input(0)), ("y", Operand::Scratch)], &words, groups)
    }

    /// Records the sums of one part of the columns, from rounded rows.
    pub(super) fn multiply(&self, run: &mut Recorder<'_>, rows: usize, part: &Part) -> Result<()> {
        let k = self.width();
        let steps = k / SIDE;
        run.loops(match self.way {
            Matrices::Instructions => steps,
            Matrices::Loops => steps * (1 + (TILE / SIDE).pow(2) * EACH) + (TILE / SIDE).pow(2) * EACH,
        })?;
        let tiles = part.columns.div_ceil(TILE);
        let groups = rows.div_ceil(TILE) * tiles;
        let mut words = Vec::with_capacity(8);
        for number in [rows, k, self.n, tiles.max(1), part.first, part.columns, part.width, groups] {
            words.push(word(number)?);
        }
        let operands = [("x", Operand::Scratch), ("w", part.weights), ("y", Operand::Output(0))];
        run.dispatch(&self.matrices, &operands, &words, groups)
    }

    /// Records the epilogue on the sums of all columns.
    pub(super) fn finish(
        &self,
        run: &mut Recorder<'_>,
        rows: usize,
        factor: u32,
        others: &[(&str, Operand)],
    ) -> Result<()> {
        let count = rows * self.n;
        let words = [word(count)?, word(self.n)?, factor];
        let mut operands = vec![("y", Operand::Output(0))];
        operands.extend_from_slice(others);
        run.dispatch(&self.follow, &operands, &words, count.div_ceil(256))
    }
}
