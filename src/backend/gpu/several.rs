//! A graph on several adapters, of which each chunk takes the one with the fewest chunks.

use std::sync::{Mutex, PoisonError};

use crate::{
    backend::{
        device::{BindSizes, DeviceReport, DeviceSession, Engine, HostOperator, ReadOutputs, RunOutputs, WriteInput},
        gpu::{
            adapter,
            device::GpuDevice,
            operand::WeightFormat,
            resilient::{RanOn, Resilient},
        },
        options::{GpuOptions, SessionOptions},
        profile::RunProfile,
    },
    error::Result,
    graph::Graph,
    kernels::KernelSet,
    shape::Bindings,
};

/// Loads the graph on the adapter that the options choose, or on each of several.
///
/// # Errors
/// As [`Resilient::load`].
pub(crate) fn load(
    graph: Graph,
    options: &SessionOptions,
    kernel_set: KernelSet,
    format: WeightFormat,
) -> Result<Engine> {
    let mut engines = Vec::new();
    for gpu in apart(&options.gpu) {
        engines.push(Resilient::load(graph.clone(), &options.clone().gpu(gpu), kernel_set, format)?);
    }
    match <[Resilient; 1]>::try_from(engines) {
        Ok([engine]) => Ok(Box::new(engine)),
        Err(engines) => Ok(Box::new(Several::new(engines))),
    }
}

/// Opens the adapters that the options choose.
///
/// # Errors
/// As [`GpuDevice::open`].
pub(crate) fn open(options: &GpuOptions) -> Result<()> {
    apart(options).iter().try_for_each(|gpu| GpuDevice::open(gpu).map(drop))
}

/// The options of each adapter that the options choose.
fn apart(options: &GpuOptions) -> Vec<GpuOptions> {
    let choices = adapter::choices(options.adapter.as_deref());
    choices.into_iter().map(|adapter| GpuOptions { adapter, ..options.clone() }).collect()
}

/// A graph loaded on several adapters.
#[derive(Debug)]
struct Several {
    engines: Vec<Resilient>,
    /// What stands behind the name of each device, to tell sessions on one adapter apart.
    suffixes: Vec<String>,
    /// Chunks that each has at the moment.
    running: Mutex<Vec<usize>>,
}

/// One of the adapters, as long as a chunk is its.
#[derive(Debug)]
struct Place<'s> {
    several: &'s Several,
    index: usize,
}

impl Several {
    fn new(engines: Vec<Resilient>) -> Self {
        let names: Vec<String> = engines.iter().map(|engine| engine.report().device).collect();
        let suffix = |index: usize| match names[..index].iter().filter(|name| **name == names[index]).count() {
            0 => String::new(),
            before => format!(", session {}", before + 1),
        };
        let suffixes = (0..engines.len()).map(suffix).collect();
        Self { running: Mutex::new(vec![0; engines.len()]), suffixes, engines }
    }

    fn place(&self) -> Place<'_> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let fewest = running.iter().enumerate().min_by_key(|(_, chunks)| **chunks);
        let index = fewest.map_or(0, |(index, _)| index);
        running[index] += 1;
        Place { several: self, index }
    }

    fn sum(&self, of: impl Fn(&Resilient) -> usize) -> usize {
        self.engines.iter().map(of).fold(0, usize::saturating_add)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.several.running.lock().unwrap_or_else(PoisonError::into_inner)[self.index] -= 1;
    }
}

impl DeviceSession for Several {
    fn graph(&self) -> &Graph {
        self.engines[0].graph()
    }

    fn weight_bytes(&self) -> usize {
        self.sum(Resilient::weight_bytes)
    }

    fn scratch_bytes(&self) -> usize {
        self.sum(Resilient::scratch_bytes)
    }

    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        self.engines[0].value_bytes(bindings)
    }

    fn run_bytes(&self) -> usize {
        self.engines.iter().map(Resilient::run_bytes).min().unwrap_or(0)
    }

    fn in_flight(&self) -> usize {
        self.sum(Resilient::in_flight)
    }

    fn report(&self) -> DeviceReport {
        let what =
            format!("{} sessions share the chunks; results of unlike adapters differ by rounding", self.engines.len());
        let mut whole = DeviceReport { notes: vec![what], ..self.engines[0].report() };
        let mut devices = Vec::new();
        for (engine, suffix) in self.engines.iter().zip(&self.suffixes) {
            let report = engine.report();
            devices.push(report.device + suffix);
            let new: Vec<String> = report.notes.into_iter().filter(|note| !whole.notes.contains(note)).collect();
            whole.notes.extend(new);
        }
        DeviceReport { device: devices.join(" + "), ..whole }
    }

    fn host_operators(&self) -> Vec<HostOperator> {
        let mut all: Vec<HostOperator> = Vec::new();
        for own in self.engines.iter().flat_map(Resilient::host_operators) {
            if !all.contains(&own) {
                all.push(own);
            }
        }
        all
    }

    fn staging_buffers(&self) -> u64 {
        self.engines.iter().map(Resilient::staging_buffers).sum()
    }

    fn profile(&self) -> Option<RunProfile> {
        self.engines[0].profile()
    }

    fn lease(&self) -> Option<Box<dyn DeviceSession + '_>> {
        Some(Box::new(self.place()))
    }

    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        self.place().run(bind, write_input, read_outputs)
    }
}

impl Place<'_> {
    fn engine(&self) -> &Resilient {
        &self.several.engines[self.index]
    }
}

impl DeviceSession for Place<'_> {
    fn graph(&self) -> &Graph {
        self.engine().graph()
    }

    fn weight_bytes(&self) -> usize {
        self.engine().weight_bytes()
    }

    fn scratch_bytes(&self) -> usize {
        self.engine().scratch_bytes()
    }

    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        self.engine().value_bytes(bindings)
    }

    fn run_bytes(&self) -> usize {
        self.engine().run_bytes()
    }

    fn report(&self) -> DeviceReport {
        self.engine().report()
    }

    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        let read = |outputs: &dyn RunOutputs| {
            let own = outputs.device().map_or("", |device| device);
            let device = format!("{own}{}", self.several.suffixes[self.index]).into();
            read_outputs(&RanOn { outputs, device: &device })
        };
        self.engine().run(bind, write_input, &read)
    }
}
