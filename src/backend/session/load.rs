//! Loading: a graph rewritten, its weights packed for the device, and the choice of forms prepared.

use std::{
    sync::{OnceLock, atomic::AtomicU64},
    time::Instant,
};

use crate::{
    backend::{
        load,
        options::{Precision, SessionOptions},
        session::{
            Named, Session,
            forms::{Arithmetic, choice},
            not_a_number::{NotANumber, weights_note},
            options_text,
        },
    },
    error::{Context, Error, Result},
    graph::{Batching, Graph, ValueId},
    inference::Fingerprint,
    ops::{product::linear::LinearInPlace, random},
    rewrite,
    threads::pool::load_pool,
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
        let in_place = graph.nodes().iter().filter(|node| node.op::<LinearInPlace>().is_some()).count();
        if factors.are_integers() && in_place > 0 {
            notes.push(format!(
                "precision int8: {in_place} products read their weights in the file, and are not in int8"
            ));
        }
        let pool = load_pool(options.workers)?;
        let weights_note = pool.run_once(|| weights_note(&graph));
        let load = || load::load(graph, options, kernel_set, factors, &mut notes);
        let loaded = pool.run_once(load).context(in_model)?;
        notes.extend(weights_note);
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
            cap: options.cap(),
            not_a_number: NotANumber::new(options.fail_on_nan),
            row_bytes: OnceLock::new(),
            last_run_ns: AtomicU64::new(0),
            workers: options.workers,
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
    if let Some(node) = random::find(graph) {
        notes.push(format!("random numbers are the same for each item and in each run ({})", node.describe()));
    }
    if options.keep_graph {
        notes.push("the graph runs as the file has it, without rewrites".to_owned());
        return Ok(());
    }
    if let Some(mut open) = rewrite::open_batch(graph)
        && rewrite::optimize(&mut open).is_ok()
    {
        open.find_batching();
        if matches!(open.batching(), Batching::Rows { .. }) {
            notes.push(
                "the file fixes the number of items at 1; its rows are independent, so that items run together".into(),
            );
            *graph = open;
            return Ok(());
        }
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
