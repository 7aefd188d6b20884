//! Running a chunk: its runs in parallel, failed runs retried in halves, and results put into slots.

use rayon::prelude::*;

use crate::{
    backend::{
        device::DeviceSession,
        session::{
            Session,
            bound::Bound,
            no_result,
            run::RunResults,
            runs::{Piece, Pieces},
        },
    },
    error::Result,
    inference::{Slots, ran_on},
    tensor::{AlignedBytes, DType, Tensor, Tensors},
    threads::split::{self, with_workers},
};

/// Retries of a chunk whose runs finished on different devices: each device is lost at most once.
const RETRIES: usize = 2;

impl Session {
    /// Runs a chunk on one device.
    pub(super) fn infer_on(&self, engine: &dyn DeviceSession, chunk: &[&Tensors], out: &mut Slots<'_, Tensors>) {
        let leased = engine.lease();
        let engine = leased.as_deref().unwrap_or(engine);
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
        for _ in 0..RETRIES {
            if is_of_one_device(&results) {
                break;
            }
            results = self.run_all(engine, &runs, &bound);
        }
        results.iter().flatten().filter_map(|ran| ran.device.as_ref()).for_each(ran_on::record);
        // The results of an item that spans several consecutive runs.
        let mut parts: Vec<Result<Tensors>> = Vec::new();
        for (run, results) in runs.iter().zip(results) {
            match (&run[..], results) {
                ([piece], results) => {
                    let result = results.and_then(|mut ran| ran.outputs.pop().ok_or_else(no_result));
                    if piece.rows.start == 0 && piece.rows.end == self.rows_of(piece.item, &bound) {
                        self.put(out, chunk, piece.item, result);
                        continue;
                    }
                    parts.push(result);
                    if piece.rows.end == self.rows_of(piece.item, &bound) {
                        let parts: Result<Vec<_>> = parts.drain(..).collect();
                        let joined = parts.and_then(|parts| self.join(&parts));
                        self.put(out, chunk, piece.item, joined);
                    }
                }
                (pieces, Ok(ran)) => {
                    for (piece, result) in pieces.iter().zip(ran.outputs) {
                        self.put(out, chunk, piece.item, Ok(result));
                    }
                }
                (pieces, Err(_)) => self.run_halves(engine, pieces, &bound, chunk, out),
            }
        }
    }

    /// Executes all runs, in parallel if this thread may use other workers.
    fn run_all(
        &self,
        engine: &dyn DeviceSession,
        runs: &[Pieces],
        bound: &[Option<Bound<'_>>],
    ) -> Vec<Result<RunResults>> {
        let mut results: Vec<Result<RunResults>> = Vec::new();
        results.resize_with(runs.len(), || Err(no_result()));
        let one = |(run, result): (&Pieces, &mut Result<RunResults>)| *result = self.run_together(engine, run, bound);
        if runs.len() > 1 && split::workers() > 1 {
            // A run on another worker is not split further.
            with_workers(1, || split::sharing(|| runs.par_iter().zip(&mut results).for_each(one)));
        } else {
            runs.iter().zip(&mut results).for_each(one);
        }
        results
    }

    /// Retries a failed run of whole items in halves, down to the failing item or until memory suffices.
    fn run_halves(
        &self,
        engine: &dyn DeviceSession,
        pieces: &[Piece],
        bound: &[Option<Bound<'_>>],
        chunk: &[&Tensors],
        out: &mut Slots<'_, Tensors>,
    ) {
        for half in pieces.chunks(pieces.len().div_ceil(2).max(1)) {
            match (half, self.run_together(engine, half, bound)) {
                (half, Ok(ran)) => {
                    ran.device.iter().for_each(ran_on::record);
                    for (piece, result) in half.iter().zip(ran.outputs) {
                        self.put(out, chunk, piece.item, Ok(result));
                    }
                }
                ([piece], Err(error)) => out.fail(piece.item, error),
                (half, Err(_)) => self.run_halves(engine, half, bound, chunk, out),
            }
        }
    }

    /// Puts the result of an item into its slot.
    fn put(&self, out: &mut Slots<'_, Tensors>, chunk: &[&Tensors], item: usize, result: Result<Tensors>) {
        match result.and_then(|outputs| self.judged(chunk[item], outputs)) {
            Ok(outputs) => out.set(item, outputs),
            Err(error) => out.fail(item, error),
        }
    }

    /// Concatenates the outputs of an item that spanned several runs.
    fn join(&self, parts: &[Tensors]) -> Result<Tensors> {
        let mut joined = Tensors::new();
        for named in &self.outputs {
            let parts = parts.iter().map(|part| part.get(&named.name).ok_or_else(no_result));
            let parts: Vec<&Tensor> = parts.collect::<Result<_>>()?;
            let mut shape = parts.first().map_or(&[][..], |part| part.shape()).to_vec();
            if let Some(rows) = shape.first_mut() {
                *rows = parts.iter().map(|part| part.shape()[0]).sum();
            }
            if named.fact.dtype == DType::String {
                let texts = parts.iter().map(|part| part.as_strings()).collect::<Result<Vec<_>>>()?.concat();
                joined.push(named.name.clone(), Tensor::from_strings(shape, &texts)?);
                continue;
            }
            let mut data = AlignedBytes::try_zeroed(parts.iter().map(|part| part.bytes().len()).sum())?;
            let mut filled = 0;
            for part in parts {
                data[filled..filled + part.bytes().len()].copy_from_slice(part.bytes());
                filled += part.bytes().len();
            }
            joined.push(named.name.clone(), Tensor::from_aligned(named.fact.dtype, shape, data)?);
        }
        Ok(joined)
    }
}

/// Whether all successful runs ran on the same device.
fn is_of_one_device(results: &[Result<RunResults>]) -> bool {
    let mut devices = results.iter().flatten().map(|ran| &ran.device);
    let first = devices.next();
    devices.all(|device| Some(device) == first)
}
