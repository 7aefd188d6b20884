//! The same inputs on every device that is there, and how far the results are apart.
//!
//! ```text
//! cargo run --release --features gpu --example verify -- MODEL.onnx [--in IN.npz]
//! cargo run --release --features gpu --example verify -- --devices
//! ```
//!
//! The reference is the CPU in f32 with its portable kernels. Without `--in` the inputs are made up: small whole numbers
//! where the model takes integers, numbers between -1 and 1 elsewhere. The exit code is 1 where an output is past the
//! bounds.

mod common;

use std::{path::PathBuf, process::ExitCode};

use common::{Common, Flag, npz};
use gristmill::{
    DType, Device, Error, Model, Session, SessionOptions, Tensor, Tensors,
    cpu::KernelSet,
    verify::{Comparison, verify},
};

const USAGE: &str = "\
usage: verify [FLAGS] MODEL.onnx [--in IN.npz]
       verify --devices

  --in IN.npz        the inputs, one array each, under the inputs' names (made up by default)
  --size N           the size of dimensions that the model leaves open, of inputs that are made up (8)
  --absolute BOUND   how far an element may be (1e-3) ...
  --relative BOUND   ... or how far relatively (1e-3)
  --cosine BOUND     how close the outputs must be as vectors (0.9999)";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let (mut model, mut input, mut size) = (None, None, 8);
    let (mut absolute, mut relative, mut cosine) = (1e-3, 1e-3, 0.9999);
    Common::parse(USAGE, |flag, parser| {
        match flag {
            Flag::Value(path) if model.is_none() => model = Some(PathBuf::from(path)),
            Flag::Named("in") => input = Some(PathBuf::from(parser.value()?)),
            Flag::Named("size") => size = number(parser)? as usize,
            Flag::Named("absolute") => absolute = number(parser)?,
            Flag::Named("relative") => relative = number(parser)?,
            Flag::Named("cosine") => cosine = number(parser)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let model = model.ok_or(USAGE)?;
    let load = |options: SessionOptions| -> Result<Session, Error> { Model::open(&model)?.session(&options) };
    let reference = load(SessionOptions::on(Device::Cpu).kernel_set(KernelSet::PORTABLE))?;
    let inputs = match &input {
        Some(path) => npz::read(path)?,
        None => made_up(&reference, size)?,
    };
    let mut others = Vec::new();
    for kernel_set in KernelSet::available() {
        others.push(load(SessionOptions::on(Device::Cpu).kernel_set(kernel_set))?);
    }
    #[cfg(feature = "gpu")]
    for adapter in gristmill::gpu::adapters() {
        let gpu = gristmill::GpuOptions::adapter(adapter.index.to_string());
        others.push(load(SessionOptions::on(Device::Gpu).gpu(gpu))?);
    }
    let mut passed = true;
    println!("{:10} {:10} {:10}  output, device", "absolute", "relative", "1 - cosine");
    let mut kernel_sets = KernelSet::available().into_iter();
    for session in &others {
        let kernels = kernel_sets.next().map_or("wgsl", |set| set.name());
        for Comparison { device, precision, output, absolute: a, relative: r, cosine: c, .. } in
            verify(&reference, [session], &inputs)?
        {
            let within = (a <= absolute || r <= relative) && c >= cosine;
            passed &= within;
            let told = if within { "" } else { "  PAST THE BOUND" };
            println!("{a:<10.2e} {r:<10.2e} {:<10.2e}  `{output}` on {device} ({kernels}, {precision}){told}", 1.0 - c);
        }
    }
    Ok(passed)
}

fn number(parser: &mut lexopt::Parser) -> Result<f64, lexopt::Error> {
    use lexopt::ValueExt;
    parser.value()?.parse()
}

/// Inputs of the shapes that the model takes; dimensions that it leaves open are `size`.
fn made_up(session: &Session, size: usize) -> Result<Tensors, Error> {
    let mut inputs = Tensors::new();
    for (index, (name, fact)) in session.inputs().enumerate() {
        let dim = |dim: &gristmill::shape::Dim| dim.as_fixed().map_or(size, |fixed| fixed as usize);
        let shape: Vec<usize> = fact.shape.dims().iter().map(dim).collect();
        let count: usize = shape.iter().product();
        let at = |i: usize| (i * 7919 + index * 104_729) % 1000;
        let tensor = match fact.dtype {
            DType::F32 => {
                let values: Vec<f32> = (0..count).map(|i| at(i) as f32 / 500.0 - 1.0).collect();
                Tensor::new(shape, &values)?
            }
            // A mask must be 0 or 1, and every model takes a 1 as an index.
            DType::I64 if name.contains("mask") => Tensor::new(shape, &vec![1i64; count])?,
            DType::I64 => Tensor::new(shape, &(0..count).map(|i| (at(i) % 2) as i64).collect::<Vec<_>>())?,
            DType::I32 => Tensor::new(shape, &(0..count).map(|i| (at(i) % 200) as i32).collect::<Vec<_>>())?,
            dtype => return Err(Error::unsupported(format!("input `{name}` of type {dtype}: give it with --in"))),
        };
        inputs.insert(name, tensor);
    }
    Ok(inputs)
}
