//! A loaded model as an [`Inference`] over named tensors.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
    time::Instant,
};

use rayon::prelude::*;
use smallvec::{SmallVec, smallvec};

use crate::{
    backend::{
        Device, HostOperator, Precision, SessionOptions,
        auto::{Candidates, Choice, Form, SAMPLE},
        engine::{self, DeviceSession},
    },
    bulk::pool::pool,
    cpu::{
        KernelSet,
        gemm::{Factors, Spans},
        split::{self, with_workers},
    },
    error::{Context, Error, Result},
    graph::{Batching, Fact, Graph},
    inference::{Description, Fingerprint, Inference, Slots},
    rewrite,
    shape::{Bindings, Symbol},
    tensor::{AlignedBytes, DType, Tensor, Tensors},
};

/// A model ready to run: weights loaded once, shared by all threads.
///
/// An item is the named inputs of one run. Where the graph proves that rows of the first axis are independent, the
/// items of a chunk are run together; the outputs are the same bits either way.
pub struct Session {
    choice: Choice,
    /// The graph that is run, whatever the precision.
    graph: Graph,
    /// Until the choice is made: the kernels and the bytes of weights.
    loaded: (KernelSet, usize),
    inputs: Vec<Named>,
    outputs: Vec<Named>,
    batching: Batching,
    load_seconds: f64,
    notes: Vec<String>,
    /// The choices that decide outputs.
    options: String,
    fingerprint: Fingerprint,
    /// Rows of one run, where no other size than the batch changes from run to run.
    rows_per_run: OnceLock<usize>,
}

struct Named {
    name: Arc<str>,
    fact: Fact,
}

impl Session {
    /// Rewrites the graph for speed, packs its weights for the device, and drops the originals.
    ///
    /// # Errors
    /// When the device or precision is not to be had, an option names something that the model lacks, or a node has
    /// no kernel.
    pub fn load(mut graph: Graph, options: &SessionOptions) -> Result<Self> {
        let started = Instant::now();
        let mut notes = Vec::new();
        let (precision, factors) = match options.precision {
            Precision::F32 => (Precision::F32, Factors::F32),
            Precision::Bf16 if options.device == Device::Gpu => {
                return Err(Error::unsupported("precision bf16 is built on the cpu only; on a gpu use f32"));
            }
            Precision::Bf16 => (Precision::Bf16, Factors::Bf16),
            Precision::Auto { min_cosine } if !(-1.0..=1.0).contains(&min_cosine) => {
                return Err(Error::invalid_input(format!("a least cosine of {min_cosine}; it is within -1 and 1")));
            }
            Precision::Auto { .. } => (Precision::F32, Factors::F32),
            other => {
                let message = format!("precision {other} is not built; use f32, bf16 (on the cpu) or auto");
                return Err(Error::unsupported(message));
            }
        };
        let kernel_set = options.kernel_set.unwrap_or_else(|| match factors {
            Factors::Bf16 => KernelSet::detect_bf16(),
            _ => KernelSet::detect(),
        });
        if factors == Factors::Bf16 && options.kernel_set.is_none() {
            notes.extend(KernelSet::refused_bf16().map(str::to_owned));
        }
        if factors == Factors::Bf16 && !kernel_set.has_bf16() {
            notes.push(format!("bf16 is emulated by the kernel set {kernel_set}: no faster than f32"));
        }
        let name = graph.name.clone();
        let in_model = || format!("model `{name}`");
        for (name, size) in &options.dimensions {
            graph.fix_symbol(name, *size).context(in_model)?;
        }
        if let Some(names) = &options.outputs {
            select_outputs(&mut graph, names)?;
        }
        if options.keep_graph {
            notes.push("the graph runs as the file has it, without rewrites".to_owned());
        } else {
            rewrite::optimize(&mut graph).context(in_model)?;
        }
        graph.find_batching();
        let batching = graph.batching().clone();
        if let Batching::Single { reason } = &batching {
            notes.push(format!("items run one by one: {reason}"));
        }
        let with_constants = matches!(options.precision, Precision::Auto { .. }).then(|| graph.clone());
        let load = || engine::load(graph, options, kernel_set, factors, &mut notes);
        let engine = pool(None)?.install(load).context(in_model)?;
        let loaded = (kernel_set, engine.weight_bytes());
        let graph = engine.graph().clone();
        let on_cpu = engine.told().device == "cpu";
        let choice = match (options.precision, with_constants) {
            (Precision::Auto { min_cosine }, Some(graph)) if on_cpu => {
                let kernel_set = options.kernel_set.unwrap_or_else(KernelSet::detect_bf16);
                Choice::between(Candidates { f32: engine, graph, kernel_set, min_cosine })
            }
            (Precision::Auto { .. }, ..) => {
                notes.push("precision auto: f32, the only one on a gpu".to_owned());
                Choice::fixed(engine, precision)
            }
            _ => Choice::fixed(engine, precision),
        };
        let offsets = match batching {
            Batching::Packed { offsets, .. } => Some(offsets),
            _ => None,
        };
        let named = |&id| {
            let value = graph.value(id);
            Named { name: value.name.as_str().into(), fact: value.fact.clone() }
        };
        let inputs = graph.inputs().iter().filter(|id| Some(**id) != offsets).map(named).collect();
        let outputs = graph.outputs().iter().map(named).collect();
        Ok(Self {
            inputs,
            outputs,
            batching,
            load_seconds: started.elapsed().as_secs_f64(),
            notes,
            options: format!(
                "outputs {:?}, dimensions {:?}, graph as in the file {}",
                options.outputs, options.dimensions, options.keep_graph
            ),
            fingerprint: Fingerprint::default(),
            rows_per_run: OnceLock::new(),
            choice,
            graph,
            loaded,
        })
    }

    /// States how long reading and loading took together, and how the model is named in reports: `fingerprint` is asked
    /// once, when first needed.
    #[cfg(any(feature = "onnx", feature = "hugging-face"))]
    pub(crate) fn with_origin(
        mut self,
        started: Instant,
        notes: Vec<String>,
        fingerprint: impl FnOnce() -> String + Send + 'static,
    ) -> Self {
        self.load_seconds = started.elapsed().as_secs_f64();
        tracing::info!(
            model = self.graph().name,
            seconds = self.load_seconds,
            kernel_set = self.loaded.0.name(),
            weight_bytes = self.weight_bytes(),
            "model loaded"
        );
        self.notes.extend(notes);
        self.fingerprint = Fingerprint::new(fingerprint);
        self
    }

    /// Names, types and shapes of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.inputs.iter().map(|named| (&*named.name, &named.fact))
    }

    /// Names, types and shapes of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.outputs.iter().map(|named| (&*named.name, &named.fact))
    }

    /// How the items of a chunk are put together.
    pub fn batching(&self) -> &Batching {
        &self.batching
    }

    /// Bytes of weights, resident once for all workers. Under `Precision::Auto` those of f32 until it is settled.
    pub fn weight_bytes(&self) -> usize {
        self.choice.get().map_or(self.loaded.1, |form| form.engine.weight_bytes())
    }

    /// The precision that the session runs in, `None` until `Precision::Auto` is settled.
    pub fn precision(&self) -> Option<Precision> {
        self.choice.get().map(|form| form.precision)
    }

    /// Settles `Precision::Auto` by a sample of the caller's choice, of which at most 32 inputs are run; otherwise the
    /// first chunk is the sample. The precision in the end; without effect once there is one.
    pub fn settle_precision(&self, sample: &[&Tensors]) -> Precision {
        self.form_by(sample).precision
    }

    /// The form of the model, chosen on `sample` if it is not yet.
    fn form_by(&self, sample: &[&Tensors]) -> &Form {
        let step = sample.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<&Tensors> = sample.iter().copied().step_by(step).collect();
        let run = |engine: &dyn DeviceSession| {
            let mut results = Vec::new();
            results.resize_with(sample.len(), || None);
            with_workers(1, || self.infer_on(engine, &sample, &mut Slots::new(&mut results)));
            results.into_iter().map(|result| result.and_then(Result::ok)).collect()
        };
        self.choice.settle(run)
    }

    /// The operators that run on the CPU inside a session of another device, with the reason of each.
    pub fn host_operators(&self) -> Vec<HostOperator> {
        self.choice.get().map_or_else(Vec::new, |form| form.engine.host_operators())
    }

    /// The loaded graph: what the rewrites made of the file's, without constants that kernels have packed.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs one item.
    ///
    /// # Errors
    /// When an input is missing, unknown, or of another type or shape than the model takes; when a value is out of its
    /// range.
    pub fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        let mut slot = [None];
        self.infer(&[inputs], &mut Slots::new(&mut slot))?;
        let [slot] = slot;
        slot.unwrap_or_else(|| Err(no_result()))
    }

    /// The item's tensors in the order of the inputs, checked, and the sizes that they bind.
    fn bind<'a>(&self, item: &'a Tensors) -> Result<Bound<'a>> {
        let mut bound = Bound { tensors: SmallVec::new(), sizes: Bindings::default() };
        for named in &self.inputs {
            let tensor = item.get(&named.name).ok_or_else(|| {
                let names: Vec<_> = item.iter().map(|(name, _)| name).collect();
                Error::invalid_input(format!("input `{}` is missing; given are {names:?}", named.name))
            })?;
            check_input(named, tensor, &mut bound.sizes)?;
            bound.tensors.push(tensor);
        }
        if let Some((name, _)) = item.iter().find(|(name, _)| !self.inputs.iter().any(|named| &*named.name == *name)) {
            let names: Vec<_> = self.inputs.iter().map(|named| &*named.name).collect();
            return Err(Error::invalid_input(format!("the model has no input `{name}`; its inputs are {names:?}")));
        }
        Ok(bound)
    }

    /// The symbol along which items are laid one behind another.
    fn rows_symbol(&self) -> Option<Symbol> {
        match self.batching {
            Batching::Rows { symbol } => Some(symbol),
            Batching::Packed { tokens, .. } => Some(tokens),
            _ => None,
        }
    }

    /// Runs a chunk in one form of the model.
    fn infer_on(&self, engine: &dyn DeviceSession, chunk: &[&Tensors], out: &mut Slots<'_, Tensors>) {
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
        let results = self.run_all(engine, &runs, &bound);
        // The parts of an item that is several runs, which follow one another.
        let mut parts: Vec<Result<Tensors>> = Vec::new();
        for (run, results) in runs.iter().zip(results) {
            match (&run[..], results) {
                ([piece], results) => {
                    let result = results.and_then(|mut results| results.pop().ok_or_else(no_result));
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
                (pieces, Ok(results)) => {
                    for (piece, result) in pieces.iter().zip(results) {
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
        if only_batch {
            return *self.rows_per_run.get_or_init(|| self.count_rows_in_cache(engine, sizes, symbol));
        }
        self.count_rows_in_cache(engine, sizes, symbol)
    }

    fn count_rows_in_cache(&self, engine: &dyn DeviceSession, sizes: &Bindings, symbol: Symbol) -> usize {
        let least = if matches!(self.batching, Batching::Packed { .. }) { MIN_PACKED_ROWS } else { 1 };
        let bytes = |rows: usize| {
            let mut own = Bindings::default();
            for other in (0..self.graph().symbols().len() as u32).map(Symbol).filter(|other| *other != symbol) {
                own.bind(other, sizes.get(other).unwrap_or(1));
            }
            own.bind(symbol, rows);
            engine.value_bytes(&own).ok()
        };
        let per_row = match (bytes(64), bytes(128)) {
            (Some(few), Some(many)) => many.saturating_sub(few) / 64,
            _ => return least,
        };
        (engine.run_bytes() / per_row.max(1)).max(least)
    }

    /// One run; the outputs of each piece.
    fn run_together(
        &self,
        engine: &dyn DeviceSession,
        pieces: &[Piece],
        bound: &[Option<Bound<'_>>],
    ) -> Result<RunOutputs> {
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
            let mut results = RunOutputs::from_elem(Tensors::new(), pieces.len());
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
            Ok(results)
        })
    }

    /// All runs, side by side where this thread may ask other workers.
    fn run_all(
        &self,
        engine: &dyn DeviceSession,
        runs: &[Run],
        bound: &[Option<Bound<'_>>],
    ) -> Vec<Result<RunOutputs>> {
        let mut results: Vec<Result<RunOutputs>> = Vec::new();
        results.resize_with(runs.len(), || Err(no_result()));
        let one = |(run, result): (&Run, &mut Result<RunOutputs>)| *result = self.run_together(engine, run, bound);
        if runs.len() > 1 && split::workers() > 1 {
            // A run on another worker is not split any further.
            with_workers(1, || runs.par_iter().zip(&mut results).for_each(one));
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
                (half, Ok(results)) => {
                    for (piece, result) in half.iter().zip(results) {
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

/// Rows of an item that are run together with others.
struct Piece {
    item: usize,
    rows: Range<usize>,
}

/// What is run together.
type Run = SmallVec<[Piece; 1]>;
/// The outputs of each piece of a run.
type RunOutputs = SmallVec<[Tensors; 1]>;

/// A run of packed sequences takes at least so many rows together.
const MIN_PACKED_ROWS: usize = 512;

struct Bound<'a> {
    tensors: SmallVec<[&'a Tensor; 4]>,
    sizes: Bindings,
}

impl Inference for Session {
    type Input = Tensors;
    type Output = Tensors;

    fn infer(&self, chunk: &[&Tensors], out: &mut Slots<'_, Tensors>) -> Result<()> {
        let form = match self.choice.get() {
            Some(form) => form,
            // A chunk of inputs that are not the model's is no sample.
            None => {
                let errors: Vec<_> = chunk.iter().map_while(|item| self.bind(item).err()).collect();
                if errors.len() == chunk.len() {
                    errors.into_iter().enumerate().for_each(|(index, error)| out.fail(index, error));
                    return Ok(());
                }
                self.form_by(chunk)
            }
        };
        self.infer_on(&*form.engine, chunk, out);
        Ok(())
    }

    fn cost(&self, input: &Tensors) -> u64 {
        let first = self.inputs.first().and_then(|named| input.get(&named.name));
        match self.batching {
            Batching::Rows { .. } | Batching::Packed { .. } => {
                first.and_then(|tensor| tensor.shape().first()).map_or(1, |&rows| rows as u64)
            }
            _ => first.map_or(1, |tensor| tensor.len() as u64),
        }
    }

    fn preferred_chunk_cost(&self) -> Option<u64> {
        matches!(self.batching, Batching::Packed { .. }).then_some(MIN_PACKED_ROWS as u64)
    }

    fn input_bytes(&self, input: &Tensors) -> usize {
        input.byte_len()
    }

    fn output_bytes(&self, output: &Tensors) -> usize {
        output.byte_len()
    }

    fn in_flight(&self) -> usize {
        self.choice.get().map_or(1, |form| form.engine.in_flight())
    }

    fn describe(&self) -> Description {
        let form = self.choice.get();
        let told = form.map(|form| form.engine.told());
        let (device, kernel_set, told) = match told {
            Some(told) => (told.device, told.kernel_set, told.notes),
            None => ("cpu".to_owned(), self.loaded.0.name(), Vec::new()),
        };
        let scratch = form.map_or(0, |form| form.engine.scratch_bytes());
        let note = form.and_then(|form| form.note.clone());
        Description {
            device,
            kernel_set: kernel_set.to_owned(),
            precision: form.map_or(Precision::AUTO, |form| form.precision).name().to_owned(),
            scratch_bytes_per_worker: scratch as u64,
            load_seconds: self.load_seconds,
            model_fingerprint: self.fingerprint.clone(),
            options: self.options.clone(),
            notes: self.notes.iter().cloned().chain(note).chain(told).collect(),
            ..Description::default()
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("engine", &self.choice)
            .field("batching", &self.batching)
            .finish_non_exhaustive()
    }
}

fn select_outputs(graph: &mut Graph, names: &[String]) -> Result<()> {
    let all: Vec<String> = graph.outputs().iter().map(|&id| graph.value(id).name.clone()).collect();
    let chosen = names.iter().map(|name| {
        let position = all.iter().position(|other| other == name);
        position
            .map(|position| graph.outputs()[position])
            .ok_or_else(|| Error::invalid_input(format!("the model has no output `{name}`; its outputs are {all:?}")))
    });
    let chosen = chosen.collect::<Result<Vec<_>>>()?;
    graph.set_outputs(chosen);
    Ok(())
}

fn check_input(named: &Named, tensor: &Tensor, sizes: &mut Bindings) -> Result<()> {
    let fits = tensor.dtype() == named.fact.dtype && tensor.shape().len() == named.fact.shape.rank();
    let misfit = || {
        let given = format!("{}{:?}", tensor.dtype(), tensor.shape());
        Error::invalid_input(format!("input `{}` must be {}, given is {given}", named.name, named.fact))
    };
    if !fits {
        return Err(misfit());
    }
    for (dim, &size) in named.fact.shape.dims().iter().zip(tensor.shape()) {
        match (dim.as_fixed(), dim.as_symbol()) {
            (Some(fixed), _) if fixed == size as i64 => {}
            (None, Some(symbol)) => {
                if let Some(other) = sizes.bind(symbol, size) {
                    return Err(Error::invalid_input(format!(
                        "input `{}`: a dimension is {size} here and {other} elsewhere, where the model wants them equal",
                        named.name
                    )));
                }
            }
            _ => return Err(misfit()),
        }
    }
    Ok(())
}

fn no_result() -> Error {
    Error::internal("a run gave no result")
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
