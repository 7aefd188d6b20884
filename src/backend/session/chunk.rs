//! The runs that a chunk becomes: items laid one behind another, and items cut where one alone is too large.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;
use smallvec::{SmallVec, smallvec};

use crate::{
    backend::{
        device::DeviceSession,
        session::{Named, Session, bound::Bound, no_result},
    },
    error::{Error, Result},
    graph::Batching,
    inference::{Slots, ran_on},
    kernels::gemm::Spans,
    shape::{Bindings, Symbol},
    tensor::{AlignedBytes, DType, Tensor, Tensors},
    threads::split::{self, with_workers},
};

/// Rows of an item that are run together with others.
struct Piece {
    item: usize,
    rows: Range<usize>,
}

/// What is run together.
type Run = SmallVec<[Piece; 1]>;
/// The outputs of each piece of a run, and the device that it ran on if that may change.
struct Ran {
    outputs: SmallVec<[Tensors; 1]>,
    device: Option<Arc<str>>,
}

/// How often a chunk is run again whose runs came to different devices: each device is lost once.
const AGAIN: usize = 2;

/// A run of packed sequences takes at least so many rows together.
pub(super) const MIN_PACKED_ROWS: usize = 512;

impl Session {
    /// Runs a chunk in one form of the model.
    pub(super) fn infer_on(&self, engine: &dyn DeviceSession, chunk: &[&Tensors], out: &mut Slots<'_, Tensors>) {
        let mut bound = Vec::with_capacity(chunk.len());
        for (index, item) in chunk.iter().enumerate() {
            bound.push(match self.bind(item) {
                Ok(item) => Some(item),
                Err(error) => {
                    out.fail(index, error);
                    None
                }
            });
        }
        let runs = self.runs(engine, &bound);
        let mut results = self.run_all(engine, &runs, &bound);
        for _ in 0..AGAIN {
            if is_of_one_device(&results) {
                break;
            }
            results = self.run_all(engine, &runs, &bound);
        }
        results.iter().flatten().filter_map(|ran| ran.device.as_ref()).for_each(ran_on::record);
        // The parts of an item that is several runs, which follow one another.
        let mut parts: Vec<Result<Tensors>> = Vec::new();
        for (run, results) in runs.iter().zip(results) {
            match (&run[..], results) {
                ([piece], results) => {
                    let result = results.and_then(|mut ran| ran.outputs.pop().ok_or_else(no_result));
                    if piece.rows.start == 0 && piece.rows.end == self.rows_of(piece.item, &bound) {
                        put(out, piece.item, result);
                        continue;
                    }
                    parts.push(result);
                    if piece.rows.end == self.rows_of(piece.item, &bound) {
                        let parts: Result<Vec<_>> = parts.drain(..).collect();
                        put(out, piece.item, parts.and_then(|parts| self.join(&parts)));
                    }
                }
                (pieces, Ok(ran)) => {
                    for (piece, result) in pieces.iter().zip(ran.outputs) {
                        out.set(piece.item, result);
                    }
                }
                (pieces, Err(_)) => self.run_halves(engine, pieces, &bound, out),
            }
        }
    }

    /// Cuts a chunk into runs: items whose other sizes are equal, as many as stay in cache; an item with more rows than
    /// that is several runs.
    fn runs(&self, engine: &dyn DeviceSession, bound: &[Option<Bound<'_>>]) -> Vec<Run> {
        let mut runs: Vec<(Run, usize)> = Vec::new();
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

    /// Rows of one run whose values stay in a core's cache; for packed sequences enough of them that the weights'
    /// traffic stays small next to the arithmetic.
    fn rows_in_cache(&self, engine: &dyn DeviceSession, sizes: &Bindings, symbol: Symbol) -> usize {
        let only_batch = (0..self.graph().symbols().len() as u32).map(Symbol).all(|other| {
            other == symbol || matches!(self.batching, Batching::Packed { sequences, .. } if sequences == other)
        });
        // Forms differ in it while there is more than one.
        let row_bytes = if only_batch && self.choice.get().is_some() {
            *self.row_bytes.get_or_init(|| self.row_bytes(engine, sizes, symbol))
        } else {
            self.row_bytes(engine, sizes, symbol)
        };
        let least = if matches!(self.batching, Batching::Packed { .. }) { MIN_PACKED_ROWS } else { 1 };
        row_bytes.map_or(least, |bytes| (engine.run_bytes() / bytes).max(least))
    }

    /// Bytes of values that one more row of a run takes, if that is known.
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

    /// One run; the outputs of each piece.
    fn run_together(&self, engine: &dyn DeviceSession, pieces: &[Piece], bound: &[Option<Bound<'_>>]) -> Result<Ran> {
        let bound_of = |piece: &Piece| bound[piece.item].as_ref();
        let items: SmallVec<[(&Bound<'_>, Range<usize>); 8]> =
            pieces.iter().filter_map(|piece| Some((bound_of(piece)?, piece.rows.clone()))).collect();
        let total: usize = items.iter().map(|(_, rows)| rows.len()).sum();
        let bind = |sizes: &mut Bindings| {
            if let Some((first, _)) = items.first() {
                for symbol in (0..self.graph().symbols().len() as u32).map(Symbol) {
                    let value = match self.batching {
                        Batching::Rows { symbol: own } if own == symbol => Some(total),
                        Batching::Packed { tokens, .. } if tokens == symbol => Some(total),
                        Batching::Packed { sequences, .. } if sequences == symbol => Some(items.len()),
                        _ => first.sizes.get(symbol),
                    };
                    if let Some(value) = value {
                        sizes.bind(symbol, value);
                    }
                }
            }
            Ok(())
        };
        let offsets = match self.batching {
            Batching::Packed { offsets, .. } => self.graph().inputs().iter().position(|&id| id == offsets),
            _ => None,
        };
        let write_input = |position: usize, bytes: &mut [u8]| {
            if Some(position) == offsets {
                let ends: &mut [i32] = bytemuck::cast_slice_mut(bytes);
                let mut end = 0usize;
                let lengths = std::iter::once(0).chain(items.iter().map(|(_, rows)| rows.len()));
                for (slot, rows) in ends.iter_mut().zip(lengths) {
                    end += rows;
                    *slot = i32::try_from(end).map_err(|_| Error::limit("more than 2^31 rows in one run"))?;
                }
                return Ok(());
            }
            let own = position - usize::from(offsets.is_some_and(|offsets| offsets < position));
            let mut filled = 0;
            for (item, rows) in &items {
                let tensor = item.tensors[own];
                let mut part = tensor.bytes();
                if self.rows_symbol().is_some() {
                    let row = part.len() / tensor.shape().first().copied().unwrap_or(1).max(1);
                    part = &part[rows.start * row..rows.end * row];
                }
                bytes[filled..filled + part.len()].copy_from_slice(part);
                filled += part.len();
            }
            Ok(())
        };
        engine.run_to(&bind, &write_input, |run| {
            let mut results: SmallVec<[Tensors; 1]> = SmallVec::from_elem(Tensors::new(), pieces.len());
            for (position, named) in self.outputs.iter().enumerate() {
                let (shape, bytes) = run.get(position);
                let mut start = 0;
                for (piece, result) in results.iter_mut().enumerate() {
                    let range = self.rows_of_output(named, shape, piece, start..start + pieces[piece].rows.len());
                    let tensor =
                        slice_rows(named.fact.dtype, shape, bytes, range.clone(), self.rows_symbol().is_some())?;
                    result.push(named.name.clone(), tensor);
                    start = range.end;
                }
            }
            Ok(Ran { outputs: results, device: run.device().cloned() })
        })
    }

    /// All runs, side by side where this thread may ask other workers.
    fn run_all(&self, engine: &dyn DeviceSession, runs: &[Run], bound: &[Option<Bound<'_>>]) -> Vec<Result<Ran>> {
        let mut results: Vec<Result<Ran>> = Vec::new();
        results.resize_with(runs.len(), || Err(no_result()));
        let one = |(run, result): (&Run, &mut Result<Ran>)| *result = self.run_together(engine, run, bound);
        if runs.len() > 1 && split::workers() > 1 {
            // A run on another worker is not split any further.
            with_workers(1, || split::sharing(|| runs.par_iter().zip(&mut results).for_each(one)));
        } else {
            runs.iter().zip(&mut results).for_each(one);
        }
        results
    }

    /// Runs each half of a run of whole items that failed, down to the item at fault, or to as many as there is memory for.
    fn run_halves(
        &self,
        engine: &dyn DeviceSession,
        pieces: &[Piece],
        bound: &[Option<Bound<'_>>],
        out: &mut Slots<'_, Tensors>,
    ) {
        for half in pieces.chunks(pieces.len().div_ceil(2).max(1)) {
            match (half, self.run_together(engine, half, bound)) {
                (half, Ok(ran)) => {
                    ran.device.iter().for_each(ran_on::record);
                    for (piece, result) in half.iter().zip(ran.outputs) {
                        out.set(piece.item, result);
                    }
                }
                ([piece], Err(error)) => out.fail(piece.item, error),
                (half, Err(_)) => self.run_halves(engine, half, bound, out),
            }
        }
    }

    /// The rows of an item.
    fn rows_of(&self, item: usize, bound: &[Option<Bound<'_>>]) -> usize {
        let size = |symbol| bound[item].as_ref().and_then(|item| item.sizes.get(symbol));
        self.rows_symbol().and_then(size).unwrap_or(1)
    }

    /// The outputs of an item that was several runs.
    fn join(&self, parts: &[Tensors]) -> Result<Tensors> {
        let mut joined = Tensors::new();
        for named in &self.outputs {
            let parts = parts.iter().map(|part| part.get(&named.name).ok_or_else(no_result));
            let parts: Vec<&Tensor> = parts.collect::<Result<_>>()?;
            let mut shape = parts.first().map_or(&[][..], |part| part.shape()).to_vec();
            if let Some(rows) = shape.first_mut() {
                *rows = parts.iter().map(|part| part.shape()[0]).sum();
            }
            let mut data = AlignedBytes::zeroed(parts.iter().map(|part| part.bytes().len()).sum());
            let mut filled = 0;
            for part in parts {
                data[filled..filled + part.bytes().len()].copy_from_slice(part.bytes());
                filled += part.bytes().len();
            }
            joined.push(named.name.clone(), Tensor::from_aligned(named.fact.dtype, shape, data)?);
        }
        Ok(joined)
    }

    /// The rows of an output that are a piece's, whose rows of the inputs are `rows` among the run's.
    fn rows_of_output(&self, named: &Named, shape: &[usize], piece: usize, rows: Range<usize>) -> Range<usize> {
        match self.batching {
            Batching::Packed { tokens, .. }
                if named.fact.shape.dims().first().and_then(|d| d.as_symbol()) != Some(tokens) =>
            {
                piece..piece + 1
            }
            Batching::Rows { .. } | Batching::Packed { .. } => rows,
            _ => 0..shape.first().copied().unwrap_or(1),
        }
    }
}

/// Whether all runs that succeeded did so on the same device.
fn is_of_one_device(results: &[Result<Ran>]) -> bool {
    let mut devices = results.iter().flatten().map(|ran| &ran.device);
    let first = devices.next();
    devices.all(|device| Some(device) == first)
}

fn put(out: &mut Slots<'_, Tensors>, item: usize, result: Result<Tensors>) {
    match result {
        Ok(result) => out.set(item, result),
        Err(error) => out.fail(item, error),
    }
}

fn slice_rows(dtype: DType, shape: &[usize], bytes: &[u8], rows: Range<usize>, split: bool) -> Result<Tensor> {
    if !split {
        return Tensor::from_bytes(dtype, shape, bytes);
    }
    let row: usize = shape.iter().skip(1).product::<usize>() * dtype.size();
    let own: Vec<usize> = std::iter::once(rows.len()).chain(shape.iter().skip(1).copied()).collect();
    Tensor::from_bytes(dtype, own, &bytes[rows.start * row..rows.end * row])
}
