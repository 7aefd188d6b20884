//! The steps of a trip, in the order of their worth, and how each is run.

use std::time::Duration;

use crate::Kit;

/// How the output of a step is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Lines of figures.
    Figures,
    /// The lines of a test harness.
    Tests,
    /// Text, kept as it is.
    Text,
}

/// One step: a process with a time limit.
pub struct Step {
    pub name: &'static str,
    /// What the summary says above its results.
    pub title: &'static str,
    /// The program in `bin/` with its arguments; `card` runs the step of the same name.
    pub command: Vec<String>,
    pub output: Output,
    pub limit: Duration,
    /// Whether it is left out where there is no adapter.
    pub needs_adapter: bool,
}

/// All steps; their limits sum up to less than six minutes.
pub fn steps(kit: &Kit) -> Vec<Step> {
    let limit = |seconds: u64| Duration::from_secs(if kit.tiny { 300 } else { seconds });
    let own = |name, title, seconds, needs_adapter| Step {
        name,
        title,
        command: vec!["card".into(), "step".into(), name.into()],
        output: Output::Figures,
        limit: limit(seconds),
        needs_adapter,
    };
    let other = |name, title, seconds, output, words: &[&str]| Step {
        command: words.iter().map(|&word| word.into()).collect(),
        output,
        ..own(name, title, seconds, true)
    };
    let tests = |name, title, seconds, words: &[&str]| {
        let command = [&["gpu", "--test-threads=4"], words].concat();
        other(name, title, seconds, Output::Tests, &command)
    };
    // A rehearsal runs a part: a software adapter takes minutes for all.
    let operators = kit.pick(&["operator::"][..], &["operator::Soft"][..]);
    let sessions = kit.pick(&["sessions::"][..], &["sessions::limits"][..]);
    let faults = kit.pick(&["devices::"][..], &["devices::runs_without"][..]);
    let precision = kit.pick(&["precision::", "--skip", "vectors_"][..], &["precision::matrices_that"][..]);
    let table = kit.pick(&["backends", "operators"][..], &["backends", "operators", "only=Soft"][..]);
    let text = Output::Text;
    vec![
        own("adapter", "The adapter: facts, limits, and what it does with denormals and divisions", 15, false),
        own("weights", "Weights of the true shapes, made here", 15, false),
        tests("operators", "Every operator and case against the oracle", 40, operators),
        own("models", "Whole models against the CPU", 30, true),
        own("products", "Products: TFLOP/s", 45, true),
        own("texts", "Encoders: texts/s", 40, true),
        own("kernels", "Where the time of a chunk goes, by the device's timestamps", 15, true),
        own("identify", "Files identified", 12, true),
        tests("precision", "Products in f16 and by cooperative matrices against the CPU", 12, precision),
        other("table", "Each operator on the CPU and the GPU: ms of a call", 15, text, table),
        own("transfers", "Transfers", 8, true),
        own("auto", "Automatic choice of the device, and growth of chunks", 20, true),
        own("in_flight", "Chunks in flight", 12, true),
        tests("sessions", "Sessions: limits, bits, cuts", 10, sessions),
        tests("faults", "Faults: memory, loss, time", 10, faults),
        own("torch", "PyTorch beside it", 20, false),
        own("scaling", "Workers on the CPU", 40, false),
    ]
}
