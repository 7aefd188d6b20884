//! The choice between f32 and a reduced precision on one device.

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

/// Both forms are timed repeatedly for at least this long.
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

    /// A GPU's form in f16, from a graph that still has all its constants.
    pub(crate) fn f16(graph: Graph, options: &SessionOptions, kernel_set: KernelSet, min_cosine: f32) -> Self {
        let options = options.clone().precision(Precision::F16);
        let make =
            move || load::gpu(graph, &options, kernel_set).map_err(|error| format!("there is no f16 form: {error}"));
        Self { precision: Precision::F16, make: Box::new(make), min_cosine }
    }

    /// Returns the faster form whose outputs stay close to f32; drops the other one.
    pub(crate) fn choose(self, f32: Engine, run: &mut RunSample<'_>) -> Form {
        let Self { precision, make, min_cosine } = self;
        let keep = |f32: Engine, why: String| Form {
            engine: f32,
            precision: Precision::F32,
            note: Some(format!("precision auto: f32: {why}")),
        };
        let other = match make() {
            Ok(other) => other,
            Err(why) => return keep(f32, why),
        };
        let mut timed = |session: &Engine| {
            let start = Instant::now();
            (run(&**session, 1), start.elapsed())
        };
        let ((exact, mut f32_time), (rounded, mut other_time)) = (timed(&f32), timed(&other));
        let (count, cosine) = match compare(&exact, &rounded) {
            Ok(found) => found,
            Err(Unlike::Fails) => return keep(f32, format!("{precision} fails where f32 does not")),
            Err(Unlike::Nothing) => return keep(f32, NOTHING_RAN.to_owned()),
            Err(Unlike::Unjudged) => {
                return keep(f32, "the model has no output of floating-point numbers to judge by".to_owned());
            }
        };
        let (found, inputs) = (format!("cosine {cosine:.6} (bound {min_cosine})"), format!("{count} inputs"));
        // A negated `<` would let a bound of NaN pass.
        let holds = cosine >= f64::from(min_cosine);
        if !holds {
            return keep(f32, format!("{precision} gives a {found} on {inputs}"));
        }
        // The first pass grew arenas and touched weights, so its time is an upper bound.
        let start = Instant::now();
        for round in 0..ROUNDS {
            if round > 0 && start.elapsed() > TIMING {
                break;
            }
            f32_time = f32_time.min(timed(&f32).1);
            other_time = other_time.min(timed(&other).1);
        }
        let speed = f32_time.as_secs_f64() / other_time.as_secs_f64().max(1e-9);
        if speed <= 1.0 {
            return keep(f32, format!("{precision}, {found}, has {speed:.2} x its speed on {inputs}"));
        }
        let note = format!("precision auto: {precision}, {found} and {speed:.2} x the speed of f32 on {inputs}");
        Form { engine: other, precision, note: Some(note) }
    }
}
