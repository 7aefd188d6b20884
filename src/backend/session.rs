//! A loaded model as an [`Inference`] over named tensors.

mod bound;
mod chunk;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use chunk::MIN_PACKED_ROWS;
use rayon::ThreadPool;

use crate::{
    backend::{
        choice::{Candidates, Choice, Form, Rival, Rounded, SAMPLE},
        device::{DeviceSession, HostOperator},
        load,
        options::{Device, Precision, SessionOptions},
    },
    error::{Context, Error, Result},
    graph::{Batching, Fact, Graph},
    inference::{Description, Fingerprint, Inference, Slots, ran_on},
    kernels::{KernelSet, gemm::Factors},
    rewrite,
    shape::Symbol,
    tensor::Tensors,
    threads::{panics, pool::pool, split::with_workers},
};

/// A model ready to run: weights loaded once, shared by all threads.
///
/// An item is the named inputs of one run. Where the graph proves that rows of the first axis are independent, the
/// items of a chunk are run together; the outputs are the same bits either way.
pub struct Session {
    choice: Choice,
    /// The precision, where no sample decides it.
    known_precision: Option<Precision>,
    /// The graph that is run, whatever the form.
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
    /// Bytes of values that a row of a run takes, where no other size than the batch changes from run to run.
    row_bytes: OnceLock<Option<usize>>,
    /// For [`run`](Self::run): nanoseconds of the last one, those of all threads together, and the threads.
    last_run_ns: AtomicU64,
    pool: OnceLock<Arc<ThreadPool>>,
}

/// Nanoseconds of a run from which on it is worth waking a pool.
const LEAST_POOL_NS: u64 = 200_000;

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
    #[doc(hidden)]
    pub fn load(mut graph: Graph, options: &SessionOptions) -> Result<Self> {
        let started = Instant::now();
        let mut notes = Vec::new();
        let (precision, factors) = match options.precision {
            Precision::F32 => (Precision::F32, Factors::F32),
            Precision::Bf16 if options.device == Device::Gpu => {
                return Err(Error::unsupported("precision bf16 is built on the cpu only; on a gpu use f32 or f16"));
            }
            Precision::Bf16 => (Precision::Bf16, Factors::Bf16),
            Precision::F16 if options.device == Device::Cpu => {
                return Err(Error::unsupported("precision f16 is built on a gpu only; on the cpu use f32 or bf16"));
            }
            Precision::F16 => (Precision::F16, Factors::F32),
            Precision::Auto { min_cosine } if !(-1.0..=1.0).contains(&min_cosine) => {
                return Err(Error::invalid_input(format!("a least cosine of {min_cosine}; it is within -1 and 1")));
            }
            Precision::Auto { .. } => (Precision::F32, Factors::F32),
            other => {
                let message =
                    format!("precision {other} is not built; use f32, f16 (on a gpu), bf16 (on the cpu) or auto");
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
        let load = || load::load(graph, options, kernel_set, factors, &mut notes);
        let load::Loaded { engine, gpu } = pool(None)?.install(load).context(in_model)?;
        let loaded = (kernel_set, engine.weight_bytes() + gpu.as_ref().map_or(0, |gpu| gpu.weight_bytes()));
        let graph = engine.graph().clone();
        let on_cpu = engine.told().device == "cpu";
        let own_precision = if precision == Precision::F16 && on_cpu { Precision::F32 } else { precision };
        let own_note = (own_precision != precision).then(|| "precision f32: f16 is built on a gpu only".to_owned());
        // Each form in f32 has one beside it that may be faster.
        let (mut rounded, mut rounded_there) = (None, None);
        if let (Precision::Auto { min_cosine }, Some(graph)) = (options.precision, with_constants) {
            if !on_cpu {
                rounded = Some(Rounded::f16(graph, options, kernel_set, min_cosine));
            } else {
                rounded_there = gpu.as_ref().map(|_| Rounded::f16(graph.clone(), options, kernel_set, min_cosine));
                let kernel_set = options.kernel_set.unwrap_or_else(KernelSet::detect_bf16);
                rounded = Some(Rounded::bf16(graph, kernel_set, min_cosine));
            }
        }
        let known = rounded.is_none() && (gpu.is_none() || own_precision == precision);
        let known_precision = known.then_some(own_precision);
        let rival =
            |engine| Rival { engine, precision, rounded: rounded_there, favoured: options.gpu.favoured.unwrap_or(1) };
        let choice = if rounded.is_some() || gpu.is_some() {
            let own = Form { engine, precision: own_precision, note: own_note };
            Choice::between(Candidates { own, rounded, gpu: gpu.map(rival) })
        } else {
            notes.extend(own_note);
            Choice::fixed(engine, own_precision)
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
            row_bytes: OnceLock::new(),
            last_run_ns: AtomicU64::new(0),
            pool: OnceLock::new(),
            choice,
            known_precision,
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

    /// Bytes of weights, resident once for all workers. Until the session is settled those of each device, and of
    /// `Precision::Auto` those of f32. Of a GPU session those on the device and what its steps on the CPU read; a note of
    /// the report says what stays on the host besides.
    pub fn weight_bytes(&self) -> usize {
        self.choice.get().map_or(self.loaded.1, |form| form.engine.weight_bytes())
    }

    /// The precision that the session runs in, `None` until `Precision::Auto` is settled.
    pub fn precision(&self) -> Option<Precision> {
        self.known_precision.or_else(|| self.choice.get().map(|form| form.precision))
    }

    /// Settles `Device::Auto` and `Precision::Auto` by a sample of the caller's choice, of which at most 32 inputs are
    /// run, for a device several times over in one go; otherwise the first chunk is the sample. The precision in the
    /// end; without effect once the session is settled.
    pub fn settle(&self, sample: &[&Tensors]) -> Precision {
        self.form_by(sample).precision
    }

    /// The form of the model, chosen on `sample` if it is not yet.
    fn form_by(&self, sample: &[&Tensors]) -> &Form {
        let step = sample.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<&Tensors> = sample.iter().copied().step_by(step).collect();
        let mut run = |engine: &dyn DeviceSession, times: usize| {
            let sample = sample.repeat(times);
            let mut results = Vec::new();
            results.resize_with(sample.len(), || None);
            // Whatever it runs on: these are not the results that are handed on.
            let ran = panics::catch(|| {
                ran_on::recorded(|| with_workers(1, || self.infer_on(engine, &sample, &mut Slots::new(&mut results))));
                Ok(())
            });
            if ran.is_err() {
                results.fill_with(|| None);
            }
            results.into_iter().map(|result| result.and_then(Result::ok)).collect()
        };
        self.choice.settle(&mut run)
    }

    /// The operators that run on the CPU inside a session of another device, with the reason of each.
    pub fn host_operators(&self) -> Vec<HostOperator> {
        self.choice.get().map_or_else(Vec::new, |form| form.engine.host_operators())
    }

    /// How many buffers were made so far to carry values to a device and back, for tests of their being used again.
    #[doc(hidden)]
    pub fn staging_buffers(&self) -> u64 {
        self.choice.get().map_or(0, |form| form.engine.staging_buffers())
    }

    /// The loaded graph: what the rewrites made of the file's, without constants that kernels have packed.
    #[doc(hidden)]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs one item. A run that takes long enough is split over a pool of threads as wide as the machine allows, or
    /// over the caller's own where a thread of a rayon pool calls; the results are the same bits.
    ///
    /// # Errors
    /// When an input is missing, unknown, or of another type or shape than the model takes; when a value is out of its
    /// range.
    pub fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        let mut slot = [None];
        let started = Instant::now();
        let mut infer = || self.infer(&[inputs], &mut Slots::new(&mut slot));
        let long = self.last_run_ns.load(Relaxed) >= LEAST_POOL_NS;
        let threads = if long && rayon::current_thread_index().is_none() {
            let pool = self.pool()?;
            pool.install(|| with_workers(pool.current_num_threads(), infer))?;
            pool.current_num_threads()
        } else {
            infer()?;
            1
        };
        self.last_run_ns.store(started.elapsed().as_nanos() as u64 * threads as u64, Relaxed);
        let [slot] = slot;
        slot.unwrap_or_else(|| Err(no_result()))
    }

    /// The threads over which single runs are split; they live as long as the session.
    fn pool(&self) -> Result<&ThreadPool> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let made = pool(None)?;
        Ok(self.pool.get_or_init(|| made))
    }

    /// The symbol along which items are laid one behind another.
    fn rows_symbol(&self) -> Option<Symbol> {
        match self.batching {
            Batching::Rows { symbol } => Some(symbol),
            Batching::Packed { tokens, .. } => Some(tokens),
            _ => None,
        }
    }
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
        // A device's chunks grow by what they are measured to do.
        let on_cpu = self.choice.in_flight() < 2;
        (on_cpu && matches!(self.batching, Batching::Packed { .. })).then_some(MIN_PACKED_ROWS as u64)
    }

    fn scratch_bytes(&self) -> usize {
        self.choice.get().map_or(0, |form| form.engine.scratch_bytes())
    }

    fn first_chunk_items(&self) -> usize {
        match self.choice.get() {
            None => SAMPLE,
            // Shaders are compiled in a device's first run: its time says nothing about those that follow.
            Some(form) if form.engine.in_flight() > 1 && form.engine.scratch_bytes() == 0 => SAMPLE,
            Some(_) => 1,
        }
    }

    fn input_bytes(&self, input: &Tensors) -> usize {
        input.byte_len()
    }

    fn output_bytes(&self, output: &Tensors) -> usize {
        output.byte_len()
    }

    fn in_flight(&self) -> usize {
        self.choice.in_flight()
    }

    fn describe(&self) -> Description {
        let form = self.choice.get();
        let told = form.map(|form| form.engine.told());
        let (device, kernel_set, told) = match told {
            Some(told) => (told.device, told.kernel_set, told.notes),
            None if self.choice.in_flight() > 1 => ("auto".to_owned(), self.loaded.0.name(), Vec::new()),
            None => ("cpu".to_owned(), self.loaded.0.name(), Vec::new()),
        };
        let note = form.and_then(|form| form.note.clone());
        Description {
            device,
            kernel_set: kernel_set.to_owned(),
            precision: self.precision().unwrap_or(Precision::AUTO).name().to_owned(),
            scratch_bytes_per_worker: self.scratch_bytes() as u64,
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

fn no_result() -> Error {
    Error::internal("a run gave no result")
}
