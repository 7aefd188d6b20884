//! One run: rows of several items copied into its inputs, and its outputs cut into items.

use std::{ops::Range, sync::Arc};

use smallvec::SmallVec;

use crate::{
    backend::{
        device::{DeviceSession, RunOutputs},
        session::{Named, Session, bound::Bound, runs::Piece},
    },
    error::{Error, Result},
    graph::Batching,
    shape::{Bindings, Symbol},
    tensor::{DType, RunStrings, Tensor, Tensors},
};

/// The outputs of each piece of a run, and the device that ran if the session may change it.
pub(super) struct RunResults {
    pub outputs: SmallVec<[Tensors; 1]>,
    pub device: Option<Arc<str>>,
}

/// Items of a run with their rows.
type Rows<'a, 'b> = SmallVec<[(&'a Bound<'b>, Range<usize>); 8]>;

impl Session {
    /// Runs pieces together and returns the outputs of each.
    pub(super) fn run_together(
        &self,
        engine: &dyn DeviceSession,
        pieces: &[Piece],
        bound: &[Option<Bound<'_>>],
    ) -> Result<RunResults> {
        let bound_of = |piece: &Piece| bound[piece.item].as_ref();
        let items: Rows<'_, '_> =
            pieces.iter().filter_map(|piece| Some((bound_of(piece)?, piece.rows.clone()))).collect();
        let offsets = match self.batching {
            Batching::Packed { offsets, .. } => self.graph().inputs().iter().position(|&id| id == offsets),
            _ => None,
        };
        let bind = |sizes: &mut Bindings| {
            self.bind_run(&items, sizes);
            Ok(())
        };
        let write_input = |position: usize, bytes: &mut [u8], strings: &mut RunStrings| {
            if Some(position) == offsets {
                return write_offsets(&items, bytes);
            }
            let own = position - usize::from(offsets.is_some_and(|offsets| offsets < position));
            self.write_rows(&items, own, bytes, strings)
        };
        let others = |position: usize| {
            let (item, _) = items.first()?;
            item.others.iter().find(|(own, _)| *own == position).map(|(_, value)| value.clone())
        };
        engine.run_to(&bind, &write_input, &others, |outputs| self.read_pieces(pieces, outputs))
    }

    /// Binds the sizes of a run: those of the first item, with the row count of all items together.
    fn bind_run(&self, items: &Rows<'_, '_>, sizes: &mut Bindings) {
        let Some((first, _)) = items.first() else { return };
        let total: usize = items.iter().map(|(_, rows)| rows.len()).sum();
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

    /// Concatenates the items' rows of tensor `own` into an input.
    fn write_rows(&self, items: &Rows<'_, '_>, own: usize, bytes: &mut [u8], strings: &mut RunStrings) -> Result<()> {
        let mut filled = 0;
        for (item, rows) in items {
            let tensor = item.tensors[own];
            let mut part = 0..tensor.bytes().len();
            if self.rows_symbol().is_some() {
                let row = part.len() / tensor.shape().first().copied().unwrap_or(1).max(1);
                part = rows.start * row..rows.end * row;
            }
            let to = &mut bytes[filled..filled + part.len()];
            filled += part.len();
            match tensor.dtype() {
                DType::String => strings.number(tensor, part, bytemuck::cast_slice_mut(to))?,
                _ => to.copy_from_slice(&tensor.bytes()[part]),
            }
        }
        Ok(())
    }

    /// Cuts the outputs of a run into those of its pieces.
    fn read_pieces(&self, pieces: &[Piece], run: &dyn RunOutputs) -> Result<RunResults> {
        let mut outputs: SmallVec<[Tensors; 1]> = SmallVec::from_elem(Tensors::new(), pieces.len());
        let is_split = self.rows_symbol().is_some();
        for (position, named) in self.outputs.iter().enumerate() {
            if let (Some(value), [output]) = (run.other(position), outputs.as_mut_slice()) {
                output.insert_value(named.name.clone(), value.clone());
                continue;
            }
            let (shape, bytes) = run.get(position);
            let mut start = 0;
            for (piece, output) in outputs.iter_mut().enumerate() {
                let range = self.rows_of_output(named, shape, piece, start..start + pieces[piece].rows.len());
                let tensor = slice_rows(named.fact.dtype, shape, bytes, range.clone(), is_split, run.strings())?;
                output.push(named.name.clone(), tensor);
                start = range.end;
            }
        }
        Ok(RunResults { outputs, device: run.device().cloned() })
    }

    /// Returns the rows of an output that belong to a piece, whose input rows are `rows` of the run.
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

/// Writes where each packed sequence starts, and where the last one ends, as i32.
fn write_offsets(items: &Rows<'_, '_>, bytes: &mut [u8]) -> Result<()> {
    let offsets: &mut [i32] = bytemuck::cast_slice_mut(bytes);
    let mut end = 0usize;
    let lengths = std::iter::once(0).chain(items.iter().map(|(_, rows)| rows.len()));
    for (offset, rows) in offsets.iter_mut().zip(lengths) {
        end += rows;
        *offset = i32::try_from(end).map_err(|_| Error::limit("more than 2^31 rows in one run"))?;
    }
    Ok(())
}

/// Copies rows of an output, or the whole output unless it is `split`.
fn slice_rows(
    dtype: DType,
    shape: &[usize],
    bytes: &[u8],
    rows: Range<usize>,
    split: bool,
    strings: Option<&RunStrings>,
) -> Result<Tensor> {
    let tensor = |shape: Vec<usize>, bytes: &[u8]| match (dtype, strings) {
        (DType::String, Some(strings)) => strings.tensor(shape, bytemuck::cast_slice(bytes)),
        _ => Tensor::from_bytes(dtype, shape, bytes),
    };
    if !split {
        return tensor(shape.to_vec(), bytes);
    }
    let row: usize = shape.iter().skip(1).product::<usize>() * dtype.size();
    let own: Vec<usize> = std::iter::once(rows.len()).chain(shape.iter().skip(1).copied()).collect();
    tensor(own, &bytes[rows.start * row..rows.end * row])
}
