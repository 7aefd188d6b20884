//! Every operator that a GPU runs, and both jobs, on the CPU and on a GPU, in one table:
//! `cargo bench --all-features --bench backends [-- ADAPTER]`.
//!
//! Times are of one call, the inputs sent and the results fetched: what a caller waits for. The least of several calls
//! counts.

use std::{
    fs,
    io::Cursor,
    path::PathBuf,
    time::{Duration, Instant},
};

use gristmill::{
    Device, Error, GpuOptions, Model, Session, SessionOptions, Tensor, Tensors,
    bulk::Bulk,
    gpu,
    ops::{self, CaseInput, GpuState},
    text::{Embedder, EmbedderOptions},
};

/// Calls of one operator are repeated for so long.
const TIMING: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let adapters = gpu::adapters();
    let Some(adapter) = adapters.iter().find(|own| named.as_ref().is_none_or(|name| own.name.contains(name))) else {
        println!("no adapter is here: nothing to compare");
        return Ok(());
    };
    let gpu = SessionOptions::on(Device::Gpu).gpu(GpuOptions::adapter(adapter.index.to_string()));
    let cpu = SessionOptions::on(Device::Cpu);
    println!("gpu {adapter}\n");
    println!("{:>10} {:>10} {:>7}  operator `case`: ms on the cpu, ms on the gpu, ratio", "cpu", "gpu", "ratio");
    for def in ops::all().iter().filter(|def| matches!(def.gpu, GpuState::Kernel(_))) {
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
            let here = Session::load(case.graph()?, &cpu.clone().keep_graph())?;
            let name = format!("{} `{}`", def.name, case.name);
            row(&name, milliseconds(&here, &inputs)?, milliseconds(&there, &inputs)?);
        }
    }
    println!("\n{:>10} {:>10} {:>7}  job: items a second on the cpu, on the gpu, ratio", "cpu", "gpu", "ratio");
    let files = files()?;
    let identified = |options: &SessionOptions| -> Result<f64, Box<dyn std::error::Error>> {
        let model = Model::from_bytes(include_bytes!("../examples/models/magika/model.onnx"))?;
        let bulk = Bulk::new(model.session(options)?);
        bulk.run(&files[..files.len().min(32)]);
        Ok(bulk.run(&files).1.items_per_second)
    };
    row("files identified", identified(&cpu)?, identified(&gpu)?);
    let data = std::env::var_os("GRISTMILL_TEST_DATA").map_or_else(|| PathBuf::from("tests/data"), PathBuf::from);
    let Ok(text) = fs::read_to_string(data.join("glosses.txt")) else {
        println!("{:>29}  glosses embedded: run tests/setup.sh first", "-");
        return Ok(());
    };
    let texts: Vec<&str> = text.lines().take(500).collect();
    let embedded = |options: &SessionOptions| -> Result<f64, Box<dyn std::error::Error>> {
        let options = EmbedderOptions::default().session(options.clone());
        let bulk = Embedder::open_with(data.join("minilm"), &options)?.bulk();
        bulk.run(&texts[..32]);
        Ok(bulk.run(&texts).1.items_per_second)
    };
    row("glosses embedded", embedded(&cpu)?, embedded(&gpu)?);
    Ok(())
}

fn row(name: &str, cpu: f64, gpu: f64) {
    println!("{cpu:>10.3} {gpu:>10.3} {:>7.2}  {name}", gpu / cpu);
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

/// What the bundled model sees of the golden files.
fn files() -> Result<Vec<Tensors>, Box<dyn std::error::Error>> {
    let bytes = fs::read("tests/goldens/magika.npz")?;
    let mut archive = npyz::npz::NpzArchive::new(Cursor::new(bytes))?;
    let features: Vec<i32> = archive.by_name("features")?.ok_or("the goldens have no features")?.into_vec()?;
    let item = |features: &[i32]| Ok(Tensors::from([("bytes", Tensor::new([1, 2048], features)?)]));
    features.chunks(2048).map(item).collect()
}
