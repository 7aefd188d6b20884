//! What a chunk of an encoder does on a GPU, and the time that a card would need for it at least.

use std::{env, fs};

use gristmill::{
    GpuOptions, Inference, Session, SessionOptions, Slots, Tensor, Tensors,
    testing::{
        backend::{RunProfile, StepProfile},
        import::hugging_face::{FolderOptions, open},
    },
};

use crate::{
    Failure, Kit, Outcome, figure,
    steps::{encoders, ways},
    weights::Encoder,
};

/// A card: operations a second in f32 and in f16, bytes a second.
pub const CARD: [f64; 3] = [60e12, 400e12, 3e12];

/// Facts about this machine.
pub fn machine() {
    let fact = |row: &str, value: String| figure::cell("machine", row, "value", value);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    fact("processor", model.map_or("unknown", |(_, name)| name).to_owned());
    fact("processors", std::thread::available_parallelism().map_or(0, usize::from).to_string());
    let sets: Vec<&str> = gristmill::KernelSet::available().iter().map(|set| set.name()).collect();
    fact("kernel sets", sets.join(", "));
    fact("system", fs::read_to_string("/proc/version").unwrap_or_default().trim().to_owned());
}

/// A session of an encoder whose runs are profiled.
pub fn profiled(kit: &Kit, encoder: &Encoder, options: SessionOptions) -> Result<Session, Failure> {
    let folder = open(kit.folder.join("data").join(encoder.name), &FolderOptions::default())?;
    let gpu = options.gpu.clone().testing(|hooks| hooks.profiled = true);
    Ok(Session::load(folder.graph, &options.gpu(gpu).outputs(["sentence_embedding"]))?)
}

/// `count` texts of `tokens` tokens.
pub fn items(count: usize, tokens: usize) -> Result<Vec<Tensors>, Failure> {
    let item = |number: usize| -> Result<Tensors, Failure> {
        let ids: Vec<i32> = (0..tokens).map(|at| 1000 + ((number * 131 + at) * 7919 % 20_000) as i32).collect();
        let positions: Vec<i32> = (0..tokens as i32).collect();
        Ok(Tensors::new()
            .with("input_ids", Tensor::new([tokens], &ids)?)
            .with("token_type_ids", Tensor::new([tokens], &vec![0i32; tokens])?)
            .with("position_ids", Tensor::new([tokens], &positions)?))
    };
    (0..count).map(item).collect()
}

/// Runs the items as one chunk and fails with the first of them that does.
pub fn run_chunk(session: &Session, items: &[Tensors]) -> Result<(), Failure> {
    let items: Vec<&Tensors> = items.iter().collect();
    let mut results: Vec<Option<gristmill::Result<Tensors>>> = Vec::new();
    results.resize_with(items.len(), || None);
    session.infer(&items, &mut Slots::new(&mut results))?;
    results.into_iter().try_for_each(|result| result.ok_or("a slot is empty")?.map(drop).map_err(Failure::from))
}

/// What the runs between two profiles did.
pub fn between(before: &RunProfile, after: &RunProfile) -> RunProfile {
    let mut own = after.clone();
    own.runs -= before.runs;
    own.submissions -= before.submissions;
    own.bytes_up -= before.bytes_up;
    own.bytes_down -= before.bytes_down;
    for (own, before) in own.steps.iter_mut().zip(&before.steps) {
        own.dispatches -= before.dispatches;
        own.bytes -= before.bytes;
        own.flop -= before.flop;
        own.nanoseconds -= before.nanoseconds;
    }
    own
}

/// The sums of some steps.
pub fn sum<'s>(steps: impl Iterator<Item = &'s StepProfile>) -> StepProfile {
    steps.fold(StepProfile::default(), |all, own| StepProfile {
        name: all.name,
        dispatches: all.dispatches + own.dispatches,
        bytes: all.bytes + own.bytes,
        flop: all.flop + own.flop,
        nanoseconds: all.nanoseconds + own.nanoseconds,
    })
}

/// Least seconds of a step on the card: the larger of its two limits.
pub fn least(step: &StepProfile, flops: f64) -> f64 {
    (step.flop as f64 / flops).max(step.bytes as f64 / CARD[2])
}

/// Prints the counts of a chunk of both encoders; weights are made in a temporary folder, or taken from `data`.
pub fn run(kit: &Kit) -> Outcome {
    let folder = tempfile::tempdir()?;
    let data = env::var_os("GRISTMILL_TEST_DATA").unwrap_or_else(|| "tests/data".into());
    let tokenizer = std::path::Path::new(&data).join("minilm/tokenizer.json");
    let kit = Kit { folder: folder.path().to_owned(), tiny: kit.tiny };
    if Kit::adapter().is_none() && gristmill::gpu::adapters().is_empty() {
        return Err("there is no adapter, on which graphs are loaded to be counted".into());
    }
    for encoder in encoders(&kit) {
        encoder.write(&kit.folder.join("data").join(encoder.name), &tokenizer)?;
        for (way, options) in ways() {
            let options = match Kit::adapter() {
                Some(_) => options,
                // Any adapter counts alike.
                None => options.gpu(GpuOptions::adapter("0")),
            };
            count(&kit, &encoder, way, options)?;
        }
    }
    Ok(())
}

/// The counts of one chunk, scaled up from a small one, which a software adapter can run.
fn count(kit: &Kit, encoder: &Encoder, way: &str, options: SessionOptions) -> Outcome {
    let session = profiled(kit, encoder, options)?;
    if way.contains("matrices") && !session.describe().kernel_set.contains("cooperative") {
        return Ok(());
    }
    let tokens = kit.pick(128, 16);
    let run = |texts: usize| -> Result<RunProfile, Failure> {
        let before = session.profile().unwrap_or_default();
        run_chunk(&session, &items(texts, tokens)?)?;
        Ok(between(&before, &session.profile().ok_or("there is no profile")?))
    };
    // Linear in the texts: what one more text adds, and what the first brings with it.
    let (one, two) = (run(1)?, run(2)?);
    let texts = 32_768 / tokens as u64;
    let scaled = |one: u64, two: u64| (one + (two - one) * (texts - 1)) as f64;
    let row = format!("{}, {texts} texts of {tokens} tokens, {way}", encoder.name);
    let (first, second) = (sum(one.steps.iter()), sum(two.steps.iter()));
    let cell = |column: &str, value: f64| figure::cell("a chunk", &row, column, value);
    cell("dispatches", second.dispatches as f64);
    cell("submissions", two.submissions as f64);
    cell("MB up", scaled(one.bytes_up, two.bytes_up) / 1e6);
    cell("MB down", scaled(one.bytes_down, two.bytes_down) / 1e6);
    cell("GB moved on the device", scaled(first.bytes, second.bytes) / 1e9);
    cell("TFLOP", scaled(first.flop, second.flop) / 1e12);
    let flops = CARD[usize::from(way != "f32")];
    let step = |(one, two): (&StepProfile, &StepProfile)| StepProfile {
        bytes: scaled(one.bytes, two.bytes) as u64,
        flop: scaled(one.flop, two.flop) as u64,
        ..two.clone()
    };
    let steps: Vec<StepProfile> = one.steps.iter().zip(&two.steps).map(step).collect();
    let whole = sum(steps.iter());
    let each: f64 = steps.iter().map(|step| least(step, flops)).sum();
    cell("ms, the larger limit of the whole", 1e3 * least(&whole, flops));
    cell("ms, the larger limit of each step", 1e3 * each);
    cell("texts/s at that", texts as f64 / each);
    Ok(())
}
