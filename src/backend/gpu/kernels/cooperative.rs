//! Products by cooperative matrices: rows rounded to f16, multiplied, and the epilogue applied.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        cooperative::Matrices,
        kernels::{
            matrix_code::{EACH, SIDE, TILE, values_of},
            product::{bindings, borrowed},
        },
        operand::{Operand, WeightFormat},
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
};

/// The shaders of products by cooperative matrices: rounding, sums, and what follows.
const HALVES: Shader = wgsl!("halves");
const MATRICES: Shader = wgsl!("cooperative");
const FOLLOW: Shader = wgsl!("follow");

/// Fewer columns are not worth a tile of so many.
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

/// What follows a product, as WGSL.
pub(super) struct Follow<'a> {
    pub activation: &'a str,
    pub bias: bool,
    pub residual: bool,
}

/// One part of the weights: its operand, its first column, its columns, and those of a row as it is packed.
pub(super) struct Part {
    pub weights: Operand,
    pub first: usize,
    pub columns: usize,
    pub width: usize,
}

impl Cooperative {
    /// For a product with packed weights `k x n`, where the session multiplies so and the sizes are of whole matrices.
    pub fn new(request: &GpuRequest<'_>, (k, n): (usize, usize), follow: &Follow<'_>) -> Result<Option<Self>> {
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

    /// Numbers of a row of f16: whole matrices.
    pub fn width(&self) -> usize {
        self.k.next_multiple_of(SIDE)
    }

    /// Bytes of so many rows of f16.
    pub fn scratch_bytes(&self, rows: usize) -> u64 {
        (rows * self.width() * 2) as u64
    }

    /// Whether so many rows fill a matrix.
    pub fn takes(&self, rows: usize) -> bool {
        rows >= SIDE
    }

    /// Makes the rows f16, which go to the scratch.
    pub fn round(&self, run: &mut Recorder<'_>, rows: usize) -> Result<()> {
        let words = [word(rows)?, word(self.k)?, word(self.width() / 2)?];
        let groups = (rows * self.width() / 2).div_ceil(256);
        run.dispatch(&self.halves, &[("x", Operand::Input(0)), ("y", Operand::Scratch)], &words, groups)
    }

    /// The sums of a part of the columns, from rows that were rounded.
    pub fn multiply(&self, run: &mut Recorder<'_>, rows: usize, part: &Part) -> Result<()> {
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

    /// What follows, on the sums of all columns.
    pub fn finish(&self, run: &mut Recorder<'_>, rows: usize, factor: u32, others: &[(&str, Operand)]) -> Result<()> {
        let count = rows * self.n;
        let words = [word(count)?, word(self.n)?, factor];
        let mut operands = vec![("y", Operand::Output(0))];
        operands.extend_from_slice(others);
        run.dispatch(&self.follow, &operands, &words, count.div_ceil(256))
    }
}
