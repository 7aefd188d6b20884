//! The choice between f32 and reduced precisions on one device.

use std::time::{Duration, Instant};

use crate::{
    backend::{
        choice::form::{Form, NOTHING_RAN, RunSample, Unlike, compare},
        cpu,
        device::Engine,
        load,
        options::{Precision, SessionOptions},
    },
    graph::Graph,
    kernels::{KernelSet, gemm::Factors},
};

/// A form and f32 are timed repeatedly for at least this long.
const TIMING: Duration = Duration::from_millis(400);
/// Maximum number of timed passes over the sample.
const ROUNDS: usize = 20;

/// Deferred constructor for the reduced-precision form.
pub(crate) struct Rounded {
    pub(crate) precision: Precision,
    pub(crate) make: Box<dyn FnOnce() -> Result<Engine, String> + Send>,
    /// Least cosine allowed between outputs of both forms.
    pub(crate) min_cosine: f32,
}

impl Rounded {
    /// The CPU's form in bf16, from a graph that still has all its constants.
    pub(crate) fn bf16(graph: Graph, options: &SessionOptions, kernel_set: KernelSet, min_cosine: f32) -> Self {
        let cap = options.cap();
        let make = move || match kernel_set.has_bf16() {
            false => Err(format!("the kernel set {kernel_set} only emulates bf16")),
            true => cpu::load_here(graph, kernel_set, Factors::Bf16, cap)
                .map_err(|error| format!("there is no bf16 form: {error}")),
        };
        Self { precision: Precision::Bf16, make: Box::new(make), min_cosine }
    }

    /// The CPU's form in int8, from a graph that still has all its constants.
    pub(crate) fn int8(graph: Graph, options: &SessionOptions, kernel_set: KernelSet, min_cosine: f32) -> Self {
        let cap = options.cap();
        let make = move || {
            cpu::load_here(graph, kernel_set, Factors::integers(kernel_set), cap)
                .map_err(|error| format!("there is no int8 form: {error}"))
        };
        Self { precision: Precision::Int8, make: Box::new(make), min_cosine }
    }

    /// A GPU's form in f16, from a graph that still has all its constants.
    pub(crate) fn f16(graph: Graph, options: &SessionOptions, kernel_set: KernelSet, min_cosine: f32) -> Self {
        let options = options.clone().precision(Precision::F16);
        let make =
            move || load::gpu(graph, &options, kernel_set).map_err(|error| format!("there is no f16 form: {error}"));
        Self { precision: Precision::F16, make: Box::new(make), min_cosine }
    }
}

/// Returns the fastest form whose outputs stay close to f32; drops the others.
pub(crate) fn choose(f32: Engine, rivals: Vec<Rounded>, run: &mut RunSample<'_>) -> Form {
    let mut best: Option<Trial> = None;
    let mut why = Vec::new();
    for rival in rivals {
        match rival.try_against(&f32, run) {
            Ok(trial) if best.as_ref().is_none_or(|best| trial.speed > best.speed) => {
                why.extend(best.replace(trial).map(|slower| slower.found));
            }
            Ok(slower) => why.push(slower.found),
            Err(reason) => why.push(reason),
        }
    }
    let why = why.join("; ");
    match best {
        None => {
            let note = Some(format!("precision auto: f32: {why}"));
            Form { engine: f32, precision: Precision::F32, note }
        }
        Some(Trial { engine, precision, found, .. }) => {
            let rest = if why.is_empty() { String::new() } else { format!("; not {why}") };
            Form { engine, precision, note: Some(format!("precision auto: {found}{rest}")) }
        }
    }
}

/// A form that stays close to f32 and is faster.
struct Trial {
    engine: Engine,
    precision: Precision,
    /// Its speed over that of f32.
    speed: f64,
    found: String,
}

impl Rounded {
    /// Runs the sample in this form and in f32; an error tells why f32 is better.
    fn try_against(self, f32: &Engine, run: &mut RunSample<'_>) -> Result<Trial, String> {
        let Self { precision, make, min_cosine } = self;
        let engine = make()?;
        let mut timed = |session: &Engine| {
            let start = Instant::now();
            (run(&**session, 1), start.elapsed())
        };
        let ((exact, mut f32_time), (rounded, mut own_time)) = (timed(f32), timed(&engine));
        let (count, cosine) = compare(&exact, &rounded).map_err(|unlike| match unlike {
            Unlike::Fails => format!("{precision} fails where f32 does not"),
            Unlike::Nothing => NOTHING_RAN.to_owned(),
            Unlike::Unjudged => "the model has no output of floating-point numbers to judge by".to_owned(),
        })?;
        let (found, inputs) = (format!("cosine {cosine:.6} (bound {min_cosine})"), format!("{count} inputs"));
        // A negated `<` would let a bound of NaN pass.
        let holds = cosine >= f64::from(min_cosine);
        if !holds {
            return Err(format!("{precision} gives a {found} on {inputs}"));
        }
        // The first pass grew arenas and touched weights, so its time is an upper bound.
        let start = Instant::now();
        for round in 0..ROUNDS {
            if round > 0 && start.elapsed() > TIMING {
                break;
            }
            f32_time = f32_time.min(timed(f32).1);
            own_time = own_time.min(timed(&engine).1);
        }
        let speed = f32_time.as_secs_f64() / own_time.as_secs_f64().max(1e-9);
        if speed <= 1.0 {
            return Err(format!("{precision}, {found}, has {speed:.2} x its speed on {inputs}"));
        }
        let found = format!("{precision}, {found} and {speed:.2} x the speed of f32 on {inputs}");
        Ok(Trial { engine, precision, speed, found })
    }
}
