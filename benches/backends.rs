//! Every operator that a GPU runs, and both jobs, on the CPU and on a GPU, in one table:
//! `cargo bench --all-features --bench backends [-- ADAPTER] [jobs|operators] [only=PART]`; with `jobs` the operators are
//! left out, with `operators` the jobs, and with `only=PART` all operators but those whose names hold it.
//! Without ADAPTER it is the one that `GRISTMILL_TEST_ADAPTER` names, or the first.
//!
//! Times are of one call, the inputs sent and the results fetched: what a caller waits for. The least of several calls
//! counts.

#[allow(dead_code, reason = "a part is used")]
#[path = "../examples/common/npz.rs"]
mod npz;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gristmill::{
    Device, Error, GpuOptions, Inference, Model, Precision, Session, SessionOptions, Tensor, Tensors,
    bulk::{Bulk, Report},
    gpu::{self, AdapterType},
    testing::{
        op::{CaseInput, GpuState},
        ops,
    },
    text::{Embedder, EmbedderOptions},
};

/// Calls of one operator are repeated for so long.
const TIMING: Duration = Duration::from_millis(50);

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let has = |name: &str| words.iter().any(|word| word == name);
    let (only_jobs, only_operators) = (has("jobs"), has("operators"));
    let part = words.iter().find_map(|word| word.strip_prefix("only=")).unwrap_or_default();
    let own = |word: &&String| !["jobs", "operators"].contains(&word.as_str()) && !word.starts_with("only=");
    let named = words.iter().find(own).cloned().or_else(|| std::env::var("GRISTMILL_TEST_ADAPTER").ok());
    let adapters = gpu::adapters();
    let Some(adapter) = adapters.iter().find(|own| named.as_ref().is_none_or(|name| own.name.contains(name.as_str())))
    else {
        println!("no adapter is here: nothing to compare");
        return Ok(());
    };
    let gpu = SessionOptions::on(Device::Gpu).gpu(GpuOptions::adapter(adapter.index.to_string()));
    let cpu = SessionOptions::on(Device::Cpu);
    println!("gpu {adapter}\n");
    println!(
        "{:>10} {:>10} {:>7} {:>7}  operator `case`: ms of a call, ratio, % in transfers",
        "cpu", "gpu", "ratio", "moving"
    );
    let listed =
        ops::all().iter().filter(|def| !only_jobs && def.name.contains(part) && matches!(def.gpu, GpuState::Kernel(_)));
    // The device stays open from case to case.
    let mut held = None;
    for def in listed {
        for case in (def.cases)() {
            let mut inputs = Tensors::new();
            for (index, input) in case.inputs.iter().enumerate() {
                if let CaseInput::Value(tensor) = input {
                    inputs.insert(format!("x{index}"), tensor.clone());
                }
            }
            let there = Session::load(case.graph()?, &gpu.clone().keep_graph())?;
            if !there.host_operators().is_empty() || there.run(&inputs).is_err() {
                continue;
            }
            if held.is_none() {
                held = Some(Session::load(case.graph()?, &gpu)?);
            }
            let here = Session::load(case.graph()?, &cpu.clone().keep_graph())?;
            let name = format!("{} `{}`", def.name, case.name);
            let (here, own) = (milliseconds(&here, &inputs)?, milliseconds(&there, &inputs)?);
            row(&name, here, own, &moving(&there.describe().notes));
        }
    }
    if only_operators {
        return Ok(());
    }
    println!(
        "\n{:>10} {:>10} {:>7} {:>7}  job: items a second, those on the cpu, ratio, % in transfers",
        "there", "cpu", "ratio", "moving"
    );
    // A software adapter shows that the jobs run; their speed means little there.
    let few = adapter.kind == AdapterType::Software;
    let files = files(if few { 24 } else { usize::MAX })?;
    let model = include_bytes!("../examples/models/magika/model.onnx");
    jobs("files identified", &cpu, &gpu, |options| {
        let bulk = Bulk::new(Model::from_bytes(model)?.session(options)?);
        bulk.run(&files[..files.len().min(32)]);
        Ok(bulk.run(&files).1)
    })?;
    let data = std::env::var_os("GRISTMILL_TEST_DATA").map_or_else(|| PathBuf::from("tests/data"), PathBuf::from);
    let Ok(text) = fs::read_to_string(data.join("glosses.txt")) else {
        println!("{:>37}  glosses embedded: run tests/setup.sh first", "-");
        return Ok(());
    };
    let texts: Vec<&str> = text.lines().take(if few { 16 } else { 2000 }).collect();
    jobs("glosses embedded", &cpu, &gpu, |options| {
        let options = EmbedderOptions::default().session(options.clone());
        let bulk = Embedder::open_with(data.join("minilm"), &options)?.bulk();
        bulk.run(&texts[..texts.len().min(32)]);
        Ok(bulk.run(&texts).1)
    })
}

/// A job's rows: on the GPU in each precision that it has, beside the CPU in f32.
fn jobs(
    name: &str,
    cpu: &SessionOptions,
    gpu: &SessionOptions,
    run: impl Fn(&SessionOptions) -> Outcome,
) -> Result<(), Failure> {
    let here = run(cpu)?;
    for precision in [Precision::F32, Precision::F16] {
        let there = run(&gpu.clone().precision(precision))?;
        if there.errors > 0 || here.errors > 0 {
            return Err(format!("{name}: {} items failed", there.errors.max(here.errors)).into());
        }
        let (own, other) = (there.items_per_second, here.items_per_second);
        let moving = moving(&there.notes);
        println!("{own:>10.1} {other:>10.1} {:>7.2} {moving:>7}  {name}, {precision}", own / other);
    }
    Ok(())
}

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<Report, Failure>;

/// The share of the time that went to transfers, as a report has it.
fn moving(notes: &[String]) -> String {
    let note = notes.iter().find_map(|note| note.strip_prefix("transfers took ")?.split(' ').next());
    note.unwrap_or("-").to_owned()
}

fn row(name: &str, cpu: f64, gpu: f64, moving: &str) {
    println!("{cpu:>10.3} {gpu:>10.3} {:>7.2} {moving:>7}  {name}", gpu / cpu);
}

/// The least time of a call.
fn milliseconds(session: &Session, inputs: &Tensors) -> Result<f64, Error> {
    session.run(inputs)?;
    let (begun, mut least) = (Instant::now(), f64::INFINITY);
    while begun.elapsed() < TIMING {
        let started = Instant::now();
        session.run(inputs)?;
        least = least.min(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}

/// What the bundled model sees of the golden files, of so many at most.
fn files(most: usize) -> Result<Vec<Tensors>, Failure> {
    let golden = npz::read(Path::new("tests/goldens/magika.npz"))?;
    let features = golden.get("features").ok_or("the goldens have no features")?.as_slice::<i32>()?;
    let item = |features: &[i32]| Ok(Tensors::from([("bytes", Tensor::new([1, 2048], features)?)]));
    features.chunks(2048).take(most).map(item).collect()
}
