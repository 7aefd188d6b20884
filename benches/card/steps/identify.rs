//! The bundled model on made-up files.

use gristmill::{Device, Model, Precision, SessionOptions, Tensor, Tensors, bulk::Bulk};

use crate::{
    Failure, Kit, Outcome, figure,
    steps::{texts::job, ways, without_matrices},
    weights::Random,
};

pub const MODEL: &[u8] = include_bytes!("../../../examples/models/magika/model.onnx");

/// What the model sees of made-up files.
pub fn files(count: usize) -> Result<Vec<Tensors>, Failure> {
    let mut random = Random(5);
    let mut file = || -> Result<Tensors, Failure> {
        let bytes: Vec<i32> = (0..2048).map(|_| (128.0 + 127.0 * random.number()) as i32).collect();
        Ok(Tensors::from([("bytes", Tensor::new([1, 2048], &bytes)?)]))
    };
    (0..count).map(|_| file()).collect()
}

pub fn run(kit: &Kit) -> Outcome {
    let files = files(kit.pick(20_000, 4))?;
    let cpu = SessionOptions::on(Device::Cpu);
    let cpus = [("cpu, f32", cpu.clone()), ("cpu, bf16", cpu.precision(Precision::Bf16))];
    for (way, options) in ways().into_iter().chain(cpus) {
        let on_cpu = way.starts_with("cpu");
        let files = if on_cpu { &files[..files.len().div_ceil(8)] } else { &files[..] };
        let bulk = Bulk::new(Model::from_bytes(MODEL)?.session(&options)?);
        bulk.run(&files[..files.len().min(64)]);
        let report = job(&bulk.run(files).1, way)?;
        figure::cell("job", way, "files/s", report.items_per_second);
        figure::cell("job", way, "largest chunk", report.chunk_items.max);
        without_matrices(&report.notes);
    }
    Ok(())
}
