//! The form that a model runs in: fixed, or found out on a sample of its inputs.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    backend::{
        choice::trial,
        cpu::CpuSession,
        device::{DeviceSession, Engine},
        load,
        options::{Precision, SessionOptions},
    },
    error::Result,
    graph::Graph,
    kernels::{KernelSet, gemm::Factors},
    tensor::{DType, Tensor, Tensors},
};

/// Inputs of a sample.
pub(crate) const SAMPLE: usize = 32;
/// Both forms are timed again until so much time has passed.
const TIMING: Duration = Duration::from_millis(400);
/// Passes over the sample that are timed at most.
const ROUNDS: usize = 20;

/// A model in the form that it is run in.
pub(crate) struct Form {
    pub(crate) engine: Engine,
    pub(crate) precision: Precision,
    /// Why it is this one, if there was a choice.
    pub(crate) note: Option<String>,
}

/// The forms of a model between which a sample decides.
pub(crate) struct Candidates {
    /// The form of the CPU, or of the only device; in f32 where the precision is open.
    pub(crate) own: Form,
    pub(crate) rounded: Option<Rounded>,
    pub(crate) gpu: Option<Rival>,
}

/// A GPU's form, in f32 where the precision is open.
pub(crate) struct Rival {
    pub(crate) engine: Engine,
    pub(crate) precision: Precision,
    pub(crate) rounded: Option<Rounded>,
    /// What its measured speed is multiplied by: 1, but in tests.
    pub(crate) favoured: u32,
}

/// What it takes to make the form in another precision than f32.
pub(crate) struct Rounded {
    pub(crate) precision: Precision,
    pub(crate) make: Box<dyn FnOnce() -> std::result::Result<Engine, String> + Send>,
    /// The least cosine between the outputs of both.
    pub(crate) min_cosine: f32,
}

/// The form of a model: there is one for good, or candidates until the first sample.
pub(crate) struct Choice {
    form: OnceLock<Form>,
    candidates: Mutex<Option<Candidates>>,
    /// How many chunks the most demanding candidate wants under way at once.
    in_flight: usize,
}

/// What one form made of a sample: the outputs of each input, `None` where it failed.
pub(crate) type Outcome = Vec<Option<Tensors>>;

/// Runs a sample, so many times over in one go.
pub(crate) type RunSample<'a> = dyn FnMut(&dyn DeviceSession, usize) -> Outcome + 'a;

impl Choice {
    /// No choice.
    pub(crate) fn fixed(engine: Engine, precision: Precision) -> Self {
        let form = OnceLock::from(Form { engine, precision, note: None });
        Self { form, candidates: Mutex::default(), in_flight: 1 }
    }

    /// A choice to be made by the first sample.
    pub(crate) fn between(candidates: Candidates) -> Self {
        let own = candidates.own.engine.in_flight();
        let in_flight = candidates.gpu.as_ref().map_or(own, |gpu| gpu.engine.in_flight());
        Self { form: OnceLock::new(), candidates: Mutex::new(Some(candidates)), in_flight }
    }

    /// The form, if it is chosen.
    pub(crate) fn get(&self) -> Option<&Form> {
        self.form.get()
    }

    /// How many chunks are wanted under way at once, of the most demanding form while it is not chosen.
    pub(crate) fn in_flight(&self) -> usize {
        self.get().map_or(self.in_flight, |form| form.engine.in_flight())
    }

    /// The form; on first need chosen by what `run` makes of a sample with each. Who comes meanwhile waits.
    ///
    /// `run` must not start work that another thread of the pool could take up: while this one waits for it, it could
    /// take up a chunk itself, which would wait for the form.
    pub(crate) fn settle(&self, run: &mut RunSample<'_>) -> &Form {
        if let Some(form) = self.form.get() {
            return form;
        }
        let mut candidates: MutexGuard<'_, _> = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        self.form.get_or_init(|| {
            let candidates = candidates.take().expect("candidates are there until there is a form");
            candidates.choose(run)
        })
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(form) => form.engine.fmt(f),
            None => f.write_str("Choice(open)"),
        }
    }
}

impl Candidates {
    /// The fastest form; the others are dropped.
    fn choose(self, run: &mut RunSample<'_>) -> Form {
        let Self { own, rounded, gpu } = self;
        let own = match rounded {
            Some(rounded) => rounded.choose(own.engine, run),
            None => own,
        };
        let Some(Rival { engine, precision, rounded, favoured }) = gpu else { return own };
        let gpu = match rounded {
            Some(rounded) => rounded.choose(engine, run),
            None => Form { engine, precision, note: None },
        };
        trial::choose(own, gpu, favoured, run)
    }
}

impl Rounded {
    /// The CPU's form in bf16, of a graph with all its constants.
    pub(crate) fn bf16(graph: Graph, kernel_set: KernelSet, min_cosine: f32) -> Self {
        let make = move || match kernel_set.has_bf16() {
            false => Err(format!("the kernel set {kernel_set} only emulates bf16")),
            true => match CpuSession::load_here(graph, kernel_set, Factors::Bf16) {
                Ok(bf16) => Ok(Box::new(bf16) as Engine),
                Err(error) => Err(format!("there is no bf16 form: {error}")),
            },
        };
        Self { precision: Precision::Bf16, make: Box::new(make), min_cosine }
    }

    /// A GPU's form in f16, of a graph with all its constants.
    pub(crate) fn f16(graph: Graph, options: &SessionOptions, kernel_set: KernelSet, min_cosine: f32) -> Self {
        let options = options.clone().precision(Precision::F16);
        let make =
            move || load::gpu(graph, &options, kernel_set).map_err(|error| format!("there is no f16 form: {error}"));
        Self { precision: Precision::F16, make: Box::new(make), min_cosine }
    }

    /// The fastest form that stays close enough to f32; the other one is dropped.
    fn choose(self, f32: Engine, run: &mut RunSample<'_>) -> Form {
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
        // Not below the bound would let NaN pass.
        let holds = cosine >= f64::from(min_cosine);
        if !holds {
            return keep(f32, format!("{precision} gives a {found} on {inputs}"));
        }
        // The first pass grew arenas and touched weights.
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

/// Why two forms cannot be told to be alike.
#[derive(Debug, PartialEq)]
pub(crate) enum Unlike {
    /// The other form fails where the first does not, or the other way round.
    Fails,
    /// Neither ran any input.
    Nothing,
    /// There is no output of floating-point numbers.
    Unjudged,
}

/// Why a sample shows nothing.
pub(crate) const NOTHING_RAN: &str = "no input of the sample could be run";

/// How many inputs both forms have run, and the least cosine between outputs of floating-point numbers.
pub(crate) fn compare(exact: &Outcome, rounded: &Outcome) -> Result<(usize, f64), Unlike> {
    let (mut count, mut least, mut judged) = (0, 1.0, false);
    for (exact, rounded) in exact.iter().zip(rounded) {
        let (exact, rounded) = match (exact, rounded) {
            (Some(exact), Some(rounded)) => (exact, rounded),
            (None, None) => continue,
            _ => return Err(Unlike::Fails),
        };
        count += 1;
        for ((_, exact), (_, rounded)) in exact.iter().zip(rounded.iter()) {
            if let Some(cosine) = cosine_of(exact, rounded) {
                judged = true;
                // A NaN stays.
                least = if cosine >= least { least } else { cosine };
            }
        }
    }
    match (count, judged) {
        (0, _) => Err(Unlike::Nothing),
        (_, false) => Err(Unlike::Unjudged),
        _ => Ok((count, least)),
    }
}

fn cosine_of(exact: &Tensor, rounded: &Tensor) -> Option<f64> {
    match exact.dtype() {
        DType::F32 => {
            let (exact, rounded) = (exact.as_slice::<f32>().ok()?, rounded.as_slice::<f32>().ok()?);
            Some(cosine(exact.iter().map(|&x| f64::from(x)), rounded.iter().map(|&x| f64::from(x))))
        }
        DType::F64 => {
            let (exact, rounded) = (exact.as_slice::<f64>().ok()?, rounded.as_slice::<f64>().ok()?);
            Some(cosine(exact.iter().copied(), rounded.iter().copied()))
        }
        _ => None,
    }
}

/// The cosine of the angle between two vectors: 1 where both are zero, 0 where one is. Numbers that are not finite
/// must be the same in both and count no further; else -1.
fn cosine(a: impl ExactSizeIterator<Item = f64>, b: impl ExactSizeIterator<Item = f64>) -> f64 {
    if a.len() != b.len() {
        return -1.0;
    }
    let (mut product, mut left, mut right) = (0.0, 0.0, 0.0);
    for (a, b) in a.zip(b) {
        if a.is_finite() && b.is_finite() {
            product += a * b;
            left += a * a;
            right += b * b;
        } else if a != b && !(a.is_nan() && b.is_nan()) {
            return -1.0;
        }
    }
    match (left > 0.0, right > 0.0) {
        (true, true) => product / (left.sqrt() * right.sqrt()),
        (false, false) => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(values: &[&[f32]]) -> Outcome {
        let tensors = |values: &&[f32]| {
            Some(Tensors::new().with("y", Tensor::new([values.len()], values).expect("as many as there are")))
        };
        values.iter().map(tensors).collect()
    }

    #[test]
    fn the_least_cosine_counts() {
        let (count, least) =
            compare(&outcome(&[&[1.0, 0.0], &[1.0, 1.0]]), &outcome(&[&[2.0, 0.0], &[1.0, 0.0]])).unwrap();
        assert_eq!(count, 2);
        assert!((least - 0.5f64.sqrt()).abs() < 1e-12, "{least}");
        let of = |a: &[f32], b: &[f32]| compare(&outcome(&[a]), &outcome(&[b])).unwrap().1;
        assert_eq!(of(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 1.0]), 0.0);
        assert_eq!(of(&[f32::NAN, 1.0], &[f32::NAN, 1.0]), 1.0);
        assert_eq!(of(&[f32::NAN, 1.0], &[1.0, 1.0]), -1.0);
        assert_eq!(of(&[f32::INFINITY], &[f32::NEG_INFINITY]), -1.0);
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        let one = outcome(&[&[1.0]]);
        assert_eq!(compare(&vec![None], &vec![None]), Err(Unlike::Nothing));
        assert_eq!(compare(&one, &vec![None]), Err(Unlike::Fails));
        let labels: Outcome = vec![Some(Tensors::new().with("y", Tensor::scalar(3_i64)))];
        assert_eq!(compare(&labels, &labels), Err(Unlike::Unjudged));
    }
}
