//! Loading: a graph rewritten, its weights packed for the device, and the choice of forms prepared.

use std::{
    sync::{OnceLock, atomic::AtomicU64},
    time::Instant,
};

use crate::{
    backend::{
        choice::{Candidates, Choice, Form, Rival, Rounded},
        device::Engine,
        load::{self, Loaded},
        options::{Device, Precision, SessionOptions},
        session::{Named, Session, options_text},
    },
    error::{Context, Error, Result},
    graph::{Batching, Graph, ValueId},
    inference::Fingerprint,
    kernels::{KernelSet, gemm::Factors},
    rewrite,
    threads::pool::pool,
};

impl Session {
    /// Rewrites the graph for speed, packs its weights for the device, and drops the originals.
    ///
    /// # Errors
    /// If the device or precision is not available, an option names something that the model lacks, or a node has no
    /// kernel.
    #[doc(hidden)]
    pub fn load(mut graph: Graph, options: &SessionOptions) -> Result<Self> {
        let started = Instant::now();
        let mut notes = Vec::new();
        let arithmetic = Arithmetic::of(options, &mut notes)?;
        let name = graph.name.clone();
        let in_model = || format!("model `{name}`");
        prepare(&mut graph, options, &mut notes, in_model)?;
        let batching = find_batching(&mut graph, &mut notes);
        let original = matches!(options.precision, Precision::Auto { .. }).then(|| graph.clone());
        let Arithmetic { kernel_set, factors, .. } = arithmetic;
        let load = || load::load(graph, options, kernel_set, factors, &mut notes);
        let loaded = pool(None)?.install(load).context(in_model)?;
        let weight_bytes = loaded.engine.weight_bytes() + loaded.gpu.as_ref().map_or(0, |gpu| gpu.weight_bytes());
        let graph = loaded.engine.graph().clone();
        let (choice, known_precision) = choice(loaded, original, options, &arithmetic, &mut notes);
        let (inputs, outputs) = names(&graph, &batching);
        Ok(Self {
            choice,
            known_precision,
            graph,
            loaded: (kernel_set, weight_bytes),
            inputs,
            outputs,
            batching,
            load_seconds: started.elapsed().as_secs_f64(),
            notes,
            options: options_text(options),
            fingerprint: Fingerprint::default(),
            row_bytes: OnceLock::new(),
            last_run_ns: AtomicU64::new(0),
            pool: OnceLock::new(),
        })
    }

    /// Records the load time since `started`, further notes, and how to compute the model's fingerprint.
    ///
    /// `fingerprint` runs once, when it is first needed.
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
}

/// The arithmetic of the first form that is loaded.
struct Arithmetic {
    /// The precision asked for; f32 where a sample decides.
    precision: Precision,
    /// How the CPU holds the factors of products.
    factors: Factors,
    kernel_set: KernelSet,
}

impl Arithmetic {
    /// Checks the precision against the device and picks the kernel set.
    fn of(options: &SessionOptions, notes: &mut Vec<String>) -> Result<Self> {
        let (precision, factors) = precision(options)?;
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
        Ok(Self { precision, factors, kernel_set })
    }
}

/// The precision to load first, and how the CPU holds the factors of products in it.
fn precision(options: &SessionOptions) -> Result<(Precision, Factors)> {
    match options.precision {
        Precision::F32 => Ok((Precision::F32, Factors::F32)),
        Precision::Bf16 if options.device == Device::Gpu => {
            Err(Error::unsupported("precision bf16 is built on the cpu only; on a gpu use f32 or f16"))
        }
        Precision::Bf16 => Ok((Precision::Bf16, Factors::Bf16)),
        Precision::F16 if options.device == Device::Cpu => {
            Err(Error::unsupported("precision f16 is built on a gpu only; on the cpu use f32 or bf16"))
        }
        Precision::F16 => Ok((Precision::F16, Factors::F32)),
        Precision::Auto { min_cosine } if !(-1.0..=1.0).contains(&min_cosine) => {
            Err(Error::invalid_input(format!("a least cosine of {min_cosine}; it is within -1 and 1")))
        }
        Precision::Auto { .. } => Ok((Precision::F32, Factors::F32)),
    }
}

/// Fixes dimensions, selects outputs and rewrites the graph.
fn prepare(
    graph: &mut Graph,
    options: &SessionOptions,
    notes: &mut Vec<String>,
    in_model: impl Fn() -> String,
) -> Result<()> {
    for (name, size) in &options.dimensions {
        graph.fix_symbol(name, *size).context(&in_model)?;
    }
    if let Some(names) = &options.outputs {
        select_outputs(graph, names)?;
    }
    if options.keep_graph {
        notes.push("the graph runs as the file has it, without rewrites".to_owned());
        return Ok(());
    }
    rewrite::optimize(graph).context(in_model)
}

/// Keeps only the named outputs, in the order of `names`.
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

/// Finds out how the items of a chunk can be combined.
fn find_batching(graph: &mut Graph, notes: &mut Vec<String>) -> Batching {
    graph.find_batching();
    let batching = graph.batching().clone();
    if let Batching::Single { reason } = &batching {
        notes.push(format!("items run one by one: {reason}"));
    }
    batching
}

/// The choice between the loaded forms and those that can be made of `original`.
///
/// Also returns the precision if no sample decides it.
fn choice(
    loaded: Loaded,
    original: Option<Graph>,
    options: &SessionOptions,
    arithmetic: &Arithmetic,
    notes: &mut Vec<String>,
) -> (Choice, Option<Precision>) {
    let Loaded { engine, gpu } = loaded;
    let &Arithmetic { precision, kernel_set, .. } = arithmetic;
    let on_cpu = engine.report().device == "cpu";
    let own_precision = if precision == Precision::F16 && on_cpu { Precision::F32 } else { precision };
    let note = (own_precision != precision).then(|| "precision f32: f16 is built on a gpu only".to_owned());
    let (rounded, gpu_rounded) = reduced_forms(original, options, kernel_set, on_cpu, gpu.is_some());
    let is_known = rounded.is_none() && (gpu.is_none() || own_precision == precision);
    let known_precision = is_known.then_some(own_precision);
    if rounded.is_none() && gpu.is_none() {
        notes.extend(note);
        return (Choice::fixed(engine, own_precision), known_precision);
    }
    let own = Form { engine, precision: own_precision, note };
    let rival = |engine: Engine| Rival {
        engine,
        precision,
        rounded: gpu_rounded,
        favoured: options.gpu.hooks.favoured.unwrap_or(1),
    };
    (Choice::between(Candidates { own, rounded, gpu: gpu.map(rival) }), known_precision)
}

/// The reduced-precision rivals of the own form and of the GPU's, for `Precision::Auto`.
fn reduced_forms(
    original: Option<Graph>,
    options: &SessionOptions,
    kernel_set: KernelSet,
    on_cpu: bool,
    has_gpu: bool,
) -> (Option<Rounded>, Option<Rounded>) {
    let (Precision::Auto { min_cosine }, Some(graph)) = (options.precision, original) else { return (None, None) };
    if !on_cpu {
        return (Some(Rounded::f16(graph, options, kernel_set, min_cosine)), None);
    }
    let on_gpu = has_gpu.then(|| Rounded::f16(graph.clone(), options, kernel_set, min_cosine));
    let kernel_set = options.kernel_set.unwrap_or_else(KernelSet::detect_bf16);
    (Some(Rounded::bf16(graph, kernel_set, min_cosine)), on_gpu)
}

/// Inputs and outputs by name, without the offsets that packing fills in itself.
fn names(graph: &Graph, batching: &Batching) -> (Vec<Named>, Vec<Named>) {
    let offsets = match batching {
        Batching::Packed { offsets, .. } => Some(*offsets),
        _ => None,
    };
    let named = |&id: &ValueId| {
        let value = graph.value(id);
        Named { name: value.name.as_str().into(), fact: value.fact.clone() }
    };
    let inputs = graph.inputs().iter().filter(|id| Some(**id) != offsets).map(named).collect();
    (inputs, graph.outputs().iter().map(named).collect())
}
