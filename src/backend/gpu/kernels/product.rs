//! Parts shared by the tiled products: tiles, packing, generated registers.

use std::sync::Arc;

use crate::{
    backend::gpu::{kernels::held::Held, program::Program, request::GpuRequest},
    error::{Error, Result},
};

/// The tiling of a product.
///
/// A workgroup computes `bm x bn` results in steps of `bk` summands, each invocation `tm x tn` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub bm: usize,
    pub bn: usize,
    pub bk: usize,
    pub tm: usize,
    pub tn: usize,
}

/// Maximum rows of a run that uses tiles of few rows.
const FEW_ROWS: usize = 16;

const LARGE: Tile = Tile { bm: 128, bn: 128, bk: 16, tm: 8, tn: 8 };
const MIDDLE: Tile = Tile { bm: 64, bn: 64, bk: 16, tm: 4, tn: 4 };
const SMALL: Tile = Tile { bm: 32, bn: 32, bk: 8, tm: 4, tn: 4 };

impl Tile {
    /// The tile for products with `n` columns.
    ///
    /// It depends on nothing that varies between runs, so a session always sums in the same order.
    pub(super) fn of(n: usize) -> Self {
        match n {
            0..=32 => SMALL,
            33..=256 => MIDDLE,
            _ => LARGE,
        }
    }

    /// The tile for runs of few rows, with the same packing of weights.
    ///
    /// The order of each sum is the same, so a row's bits do not depend on the number of rows.
    fn of_few_rows(&self) -> Self {
        Self { bm: 8, bn: self.bn.min(64), bk: self.bk, tm: 1, tn: 4 }
    }

    /// Invocations of a workgroup.
    pub(super) fn threads(&self) -> usize {
        (self.bm / self.tm) * (self.bn / self.tn)
    }

    /// Generates the values of `shaders/shared/product.wgsl`, and the size of the workgroup.
    pub(super) fn values(&self) -> Vec<(&'static str, String)> {
        let Tile { bm, bn, bk, tm, tn } = *self;
        let threads = self.threads();
        let columns = tn / 4;
        let (mut zeros, mut multiply, mut store) = (String::new(), String::new(), String::new());
        let line = |text: &mut String, line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        for column in 0..columns {
            line(&mut multiply, format!("            let b{column} = b_tile[b_first + {column}u];"));
        }
        for row in 0..tm {
            line(&mut multiply, format!("            let a{row} = vec4<f32>(a_tile[a_first + {row}u]);"));
            for column in 0..columns {
                let sum = format!("sum_{row}_{column}");
                line(&mut zeros, format!("    var {sum} = vec4<f32>();"));
                line(&mut multiply, format!("            {sum} = fma(a{row}, b{column}, {sum});"));
                for (place, name) in ["x", "y", "z", "w"].into_iter().enumerate() {
                    let at = column * 4 + place;
                    let put =
                        format!("put(first_row + own_row + {row}u, first_column + own_column + {at}u, {sum}.{name});");
                    line(&mut store, format!("    {put}"));
                }
            }
        }
        vec![
            ("bm", bm.to_string()),
            ("bn", bn.to_string()),
            ("bk", bk.to_string()),
            ("tm", tm.to_string()),
            ("tn", tn.to_string()),
            ("threads", threads.to_string()),
            ("workgroup", threads.to_string()),
            ("zeros", zeros),
            ("multiply", multiply),
            ("store", store),
        ]
    }

    /// Rounds of loops of an invocation in a product of `k` summands.
    pub(super) fn turns(&self, k: usize) -> usize {
        let loads = (self.bm * self.bk / 4).div_ceil(self.threads()) + (self.bk * self.bn / 4).div_ceil(self.threads());
        k.div_ceil(self.bk) * (self.bk + loads + 1)
    }

    /// Rows and columns of weights `k x n` when padded to whole tiles.
    pub(super) fn padded(&self, k: usize, n: usize) -> (usize, usize) {
        (k.next_multiple_of(self.bk), n.next_multiple_of(self.bn))
    }

    /// Packs weights `k x n`, whose elements are `at(row, column)`, padded with zeros.
    pub(super) fn pack(&self, held: Held, k: usize, n: usize, at: impl Fn(usize, usize) -> f32) -> Vec<u8> {
        let (rows, columns) = self.padded(k, n);
        let mut packed = vec![0; rows * columns * held.bytes()];
        for (row, packed) in packed.chunks_exact_mut((columns * held.bytes()).max(1)).enumerate().take(k) {
            for (column, bytes) in packed.chunks_exact_mut(held.bytes()).enumerate().take(n) {
                held.write(at(row, column), bytes);
            }
        }
        packed
    }

    /// Maximum columns of a part of weights with `k` rows that fits one binding.
    ///
    /// # Errors
    /// If a single tile exceeds the limit of a binding.
    pub(super) fn columns_of_part(&self, request: &GpuRequest<'_>, held: Held, k: usize) -> Result<usize> {
        let column = (self.padded(k, 0).0.max(1) * held.bytes()) as u64;
        let columns = (request.binding_limit / column) as usize / self.bn * self.bn;
        if columns == 0 {
            let limit = request.binding_limit;
            return Err(Error::limit(format!("weights of {k} rows, where this device binds at most {limit} bytes")));
        }
        Ok(columns)
    }
}

/// The shaders of one product, for many rows and for few.
pub(super) struct Tiled {
    many: (Tile, Arc<Program>),
    few: (Tile, Arc<Program>),
}

impl Tiled {
    /// Expands both shaders with `make`, which receives the values of the tile.
    ///
    /// # Errors
    /// As `make`.
    pub(super) fn new(tile: Tile, make: impl Fn(Vec<(&'static str, String)>) -> Result<Arc<Program>>) -> Result<Self> {
        let few = tile.of_few_rows();
        Ok(Self { many: (tile, make(tile.values())?), few: (few, make(few.values())?) })
    }

    /// Returns the tile that the weights are packed for.
    pub(super) fn packed(&self) -> Tile {
        self.many.0
    }

    /// Returns the tile and shader of a run with `rows` rows.
    pub(super) fn of_rows(&self, rows: usize) -> (Tile, &Program) {
        let (tile, program) = if rows <= FEW_ROWS { &self.few } else { &self.many };
        (*tile, program)
    }
}
