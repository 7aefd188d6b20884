//! Cutting a chunk into runs: small items combined, large items cut.

use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use crate::{
    backend::{
        device::DeviceSession,
        session::{Session, bound::Bound},
    },
    graph::Batching,
    kernels::gemm::Spans,
    shape::{Bindings, Symbol},
};

/// Rows of an item that run together with those of other items.
pub(super) struct Piece {
    pub item: usize,
    pub rows: Range<usize>,
}

/// The pieces that run together.
pub(super) type Pieces = SmallVec<[Piece; 1]>;

/// Least rows that a run of packed sequences may hold.
pub(super) const MIN_PACKED_ROWS: usize = 512;
/// Rows of a run after which to read the weights costs next to nothing.
const ROWS_BESIDE_WEIGHTS: usize = 8;

impl Session {
    /// Cuts a chunk into runs.
    ///
    /// Items whose other sizes are equal are combined up to the rows that stay in cache. An item with more rows than
    /// that becomes several runs.
    pub(super) fn runs(&self, engine: &dyn DeviceSession, bound: &[Option<Bound<'_>>]) -> Vec<Pieces> {
        let mut runs: Vec<(Pieces, usize)> = Vec::new();
        let whole = |index: usize, rows: usize| smallvec![Piece { item: index, rows: 0..rows }];
        let Some(symbol) = self.rows_symbol() else {
            let present = bound.iter().enumerate().filter(|(_, bound)| bound.is_some());
            return present.map(|(index, _)| whole(index, 1)).collect();
        };
        let others_equal = |a: &Bindings, b: &Bindings| {
            (0..self.graph().symbols().len() as u32).map(Symbol).all(|s| s == symbol || a.get(s) == b.get(s))
        };
        let mut most_rows = None;
        for (index, own) in bound.iter().enumerate() {
            let Some(own) = own else { continue };
            let rows = own.sizes.get(symbol).unwrap_or(1);
            let most = *most_rows.get_or_insert_with(|| self.rows_in_cache(engine, &own.sizes, symbol));
            if rows > most && matches!(self.batching, Batching::Rows { .. }) {
                let pieces = Spans::even(0..rows, most);
                runs.extend(pieces.map(|rows| (smallvec![Piece { item: index, rows }], usize::MAX)));
                continue;
            }
            let joined = runs.iter_mut().rev().find(|(pieces, filled)| {
                let first = pieces.first().and_then(|first| bound[first.item].as_ref());
                filled.saturating_add(rows) <= most && first.is_some_and(|first| others_equal(&first.sizes, &own.sizes))
            });
            match joined {
                Some((pieces, filled)) => {
                    pieces.push(Piece { item: index, rows: 0..rows });
                    *filled += rows;
                }
                None => runs.push((whole(index, rows), rows)),
            }
        }
        runs.into_iter().map(|(pieces, _)| pieces).collect()
    }

    /// Number of rows of a run: those whose values stay in a core's cache.
    ///
    /// At least as many that the traffic of the weights is small next to the arithmetic: for packed sequences by their
    /// tokens, for others as long as their values are no more than the weights.
    fn rows_in_cache(&self, engine: &dyn DeviceSession, sizes: &Bindings, symbol: Symbol) -> usize {
        let only_batch = (0..self.graph().symbols().len() as u32).map(Symbol).all(|other| {
            other == symbol || matches!(self.batching, Batching::Packed { sequences, .. } if sequences == other)
        });
        // Until the form is settled the candidates differ in it.
        let row_bytes = if only_batch && self.choice.get().is_some() {
            *self.row_bytes.get_or_init(|| self.row_bytes(engine, sizes, symbol))
        } else {
            self.row_bytes(engine, sizes, symbol)
        };
        let least = if matches!(self.batching, Batching::Packed { .. }) { MIN_PACKED_ROWS } else { 1 };
        // A run reads the weights once: more rows save more than they cost while their values are fewer bytes.
        let beside_weights = |bytes: usize| (engine.weight_bytes() / bytes).min(ROWS_BESIDE_WEIGHTS);
        row_bytes.map_or(least, |bytes| (engine.run_bytes() / bytes).max(beside_weights(bytes)).max(least))
    }

    /// Bytes of values that one more row of a run needs, if known.
    fn row_bytes(&self, engine: &dyn DeviceSession, sizes: &Bindings, symbol: Symbol) -> Option<usize> {
        let bytes = |rows: usize| {
            let mut own = Bindings::default();
            for other in (0..self.graph().symbols().len() as u32).map(Symbol).filter(|other| *other != symbol) {
                own.bind(other, sizes.get(other).unwrap_or(1));
            }
            own.bind(symbol, rows);
            engine.value_bytes(&own).ok()
        };
        let (few, many) = (bytes(64)?, bytes(128)?);
        Some((many.saturating_sub(few) / 64).max(1))
    }

    /// Returns the number of rows of an item.
    pub(super) fn rows_of(&self, item: usize, bound: &[Option<Bound<'_>>]) -> usize {
        let size = |symbol| bound[item].as_ref().and_then(|item| item.sizes.get(symbol));
        self.rows_symbol().and_then(size).unwrap_or(1)
    }
}
