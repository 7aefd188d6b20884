//! Runs the same inputs on every device and in every precision of this machine, and compares the results.
//!
//! ```text
//! cargo run --release --features gpu --example verify -- MODEL.onnx [--in IN.npz [--reference OUT.npz]]
//! cargo run --release --features gpu --example verify -- --files PATH
//! cargo run --release --features gpu --example verify -- MODEL_FOLDER --texts FILE
//! cargo run --release --features gpu --example verify -- --devices
//! ```
//!
//! The reference is the CPU in f32 with the portable kernels. Inputs that are not given are made up: small whole numbers
//! for integers, numbers between -1 and 1 otherwise. The exit code is 3 if an output exceeds the bounds.
//!
//! A fault that all devices share cannot be seen so. With `--reference`, every device is compared with the outputs in
//! `OUT.npz`, which another program has computed for `IN.npz`.

mod common;
#[path = "identify/features.rs"]
#[allow(dead_code, reason = "a part is used")]
mod features;
#[path = "identify/files.rs"]
mod files;
#[path = "identify/labels.rs"]
#[allow(dead_code, reason = "a part is used")]
mod labels;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use common::{Common, Failure, Flag, Outcome, npz};
use features::Features;
use gristmill::{
    DType, Device, Error, ErrorKind, GpuOptions, KernelSet, Model, Precision, Session, SessionOptions, Tensor, Tensors,
    text::{Embedder, EmbedderOptions},
    verify::{Comparison, verify, verify_against},
};
use lexopt::Parser;

const USAGE: &str = "\
usage: verify [FLAGS] MODEL.onnx [--in IN.npz [--reference OUT.npz]]
       verify [FLAGS] --files PATH                 (the bundled model, on the files below PATH)
       verify [FLAGS] MODEL_FOLDER --texts FILE    (a text model, on the lines of FILE)
       verify --devices

  --in IN.npz        the inputs, one array each, under the inputs' names (made up by default)
  --reference OUT.npz  the outputs that another program computed for IN.npz, one array each, under the outputs' names;
                     without it, a fault that all devices share cannot be seen
  --size N           the size of symbolic dimensions in made-up inputs (8)
  --most N           the number of files or lines to use at most (200)
  --absolute BOUND   largest difference of an element (1e-3 in f32; no bound in other precisions) ...
  --relative BOUND   ... or largest relative difference (the same)
  --cosine BOUND     least cosine of an item's outputs (0.9999 in f32; 0.999 in other precisions)";

#[derive(Default)]
struct Arguments {
    model: Option<PathBuf>,
    input: Option<PathBuf>,
    reference: Option<PathBuf>,
    files: Option<PathBuf>,
    texts: Option<PathBuf>,
    size: Option<usize>,
    most: Option<usize>,
    absolute: Option<f64>,
    relative: Option<f64>,
    cosine: Option<f64>,
    gpu: GpuOptions,
}

fn main() -> ExitCode {
    common::main(run)
}

fn run(command_line: Parser) -> Outcome {
    let mut own = Arguments::default();
    let common = Common::parse(command_line, USAGE, |flag, parser| {
        match flag {
            Flag::Value(path) if own.model.is_none() => own.model = Some(PathBuf::from(path)),
            Flag::Named("in") => own.input = Some(PathBuf::from(parser.value()?)),
            Flag::Named("reference") => own.reference = Some(PathBuf::from(parser.value()?)),
            Flag::Named("files") => own.files = Some(PathBuf::from(parser.value()?)),
            Flag::Named("texts") => own.texts = Some(PathBuf::from(parser.value()?)),
            Flag::Named("size") => own.size = Some(number(parser)? as usize),
            Flag::Named("most") => own.most = Some(number(parser)? as usize),
            Flag::Named("absolute") => own.absolute = Some(number(parser)?),
            Flag::Named("relative") => own.relative = Some(number(parser)?),
            Flag::Named("cosine") => own.cosine = Some(number(parser)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    own.gpu = common.gpu.clone();
    let most = own.most.unwrap_or(200);
    writeln!(io::stdout(), "{:10} {:10} {:10}  output, device", "absolute", "relative", "1 - cosine")?;
    let expected = match (&own.reference, &own.input, &own.model) {
        (None, ..) => None,
        (Some(path), Some(_), Some(_)) => Some(npz::read(path)?),
        (Some(_), ..) => return Err(Failure::usage("--reference needs MODEL.onnx and --in")),
    };
    let passed = match (&own.model, &own.files, &own.texts) {
        (None, Some(path), None) => {
            let items = of_files(path, most)?;
            let load = |options| Model::from_bytes(include_bytes!("models/magika/model.onnx"))?.session(&options);
            of_model(&own, load, |_| Ok(items), None)?
        }
        (Some(folder), None, Some(texts)) => {
            let text = fs::read_to_string(texts).map_err(|error| format!("{}: {error}", texts.display()))?;
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(most).collect();
            of_texts(&own, folder, &lines)?
        }
        (Some(path), None, None) => {
            let inputs = |reference: &Session| match &own.input {
                Some(path) => Ok(vec![npz::read(path)?]),
                None => Ok(vec![made_up(reference, own.size.unwrap_or(8))?]),
            };
            of_model(&own, |options| Model::open(path)?.session(&options), inputs, expected)?
        }
        _ => return Err(Failure::usage(USAGE)),
    };
    Ok(common.code(!passed))
}

/// The reference, and all that is compared with it: on every adapter, or on the one that `--adapter` names.
fn settings(own: &Arguments) -> (SessionOptions, Vec<SessionOptions>) {
    let on_cpu = |set| SessionOptions::on(Device::Cpu).kernel_set(set);
    let mut others: Vec<SessionOptions> = KernelSet::available().into_iter().map(on_cpu).collect();
    others.push(SessionOptions::on(Device::Cpu).precision(Precision::Bf16));
    #[cfg(feature = "gpu")]
    {
        let all = || gristmill::gpu::adapters().into_iter().map(|adapter| adapter.index.to_string()).collect();
        for adapter in own.gpu.adapter.clone().map_or_else(all, |name| vec![name]) {
            let on = |gpu| SessionOptions::on(Device::Gpu).gpu(gpu);
            let gpu = GpuOptions::adapter(adapter);
            others.extend([on(gpu.clone()), on(gpu.clone()).precision(Precision::F16)]);
            if own.gpu.cooperative_matrices {
                others.push(on(gpu.cooperative_matrices()).precision(Precision::F16));
            }
        }
    }
    #[cfg(not(feature = "gpu"))]
    let _ = &own.gpu;
    (on_cpu(KernelSet::PORTABLE), others)
}

/// Compares the outputs of sessions for the same inputs with the expected ones or the reference's.
fn of_model(
    own: &Arguments,
    load: impl Fn(SessionOptions) -> Result<Session, Error>,
    inputs: impl FnOnce(&Session) -> Result<Vec<Tensors>, Failure>,
    expected: Option<Tensors>,
) -> Result<bool, Failure> {
    let (reference, others) = settings(own);
    let reference = load(reference)?;
    let items = inputs(&reference)?;
    let expected = expected.map(|tensors| vec![tensors]);
    let mut passed = true;
    let mut show = |comparisons: Vec<Comparison>| -> io::Result<()> {
        for comparison in comparisons {
            passed &= print(own, &comparison)?;
        }
        Ok(())
    };
    if let Some(expected) = &expected {
        show(verify_against(expected, [&reference], &items)?)?;
    }
    for options in others {
        let session = [&load(options)?];
        show(match &expected {
            Some(expected) => verify_against(expected, session, &items)?,
            None => verify(&reference, session, &items)?,
        })?;
    }
    Ok(passed)
}

/// Compares the vectors of text models for the same lines.
fn of_texts(own: &Arguments, folder: &Path, lines: &[&str]) -> Result<bool, Failure> {
    let vectors = |options: SessionOptions| -> Result<_, Failure> {
        let embedder = Embedder::open_with(folder, &EmbedderOptions::default().session(options))?;
        let vectors = embedder.embed(lines)?;
        let tensors = |vector: &Vec<f32>| Ok(Tensors::from([("vector", Tensor::new([vector.len()], vector)?)]));
        Ok((embedder.describe(), vectors.iter().map(tensors).collect::<Result<Vec<_>, Error>>()?))
    };
    let (reference, others) = settings(own);
    let (_, expected) = vectors(reference)?;
    let mut passed = true;
    for options in others {
        let (told, results) = vectors(options)?;
        for comparison in Comparison::of(&told, &expected, &results)? {
            passed &= print(own, &comparison)?;
        }
    }
    Ok(passed)
}

/// Prints a line, and returns whether the output is within the bounds.
fn print(own: &Arguments, comparison: &Comparison) -> io::Result<bool> {
    let Comparison { device, kernel_set, precision, output, absolute, relative, cosine, .. } = comparison;
    let (far, close) = if precision == "f32" { (1e-3, 0.9999) } else { (f64::INFINITY, 0.999) };
    let bounds = (own.absolute.unwrap_or(far), own.relative.unwrap_or(far), own.cosine.unwrap_or(close));
    let within = comparison.is_within(bounds.0, bounds.1, bounds.2);
    let told = if within { "" } else { "  PAST THE BOUND" };
    let apart = 1.0 - cosine;
    writeln!(
        io::stdout(),
        "{absolute:<10.2e} {relative:<10.2e} {apart:<10.2e}  `{output}` on {device} ({kernel_set}, {precision}){told}"
    )?;
    Ok(within)
}

/// The bundled model's inputs for the files below a path.
fn of_files(path: &Path, most: usize) -> Result<Vec<Tensors>, Failure> {
    let labels = labels::Labels::bundled()?;
    let mut items = Vec::new();
    for path in files::Files::below([path.to_owned()]) {
        let path = path.map_err(|(path, error)| format!("{}: {error}", path.display()))?;
        if let Features::Bytes(tensors) = features::of_path(&path, labels.config())? {
            items.push(tensors);
        }
        if items.len() == most {
            break;
        }
    }
    if items.is_empty() {
        return Err(format!("no file below {} needs the model", path.display()).into());
    }
    Ok(items)
}

fn number(parser: &mut Parser) -> Result<f64, lexopt::Error> {
    use lexopt::ValueExt;
    parser.value()?.parse()
}

/// Made-up inputs of the model's shapes; symbolic dimensions are `size`.
fn made_up(session: &Session, size: usize) -> Result<Tensors, Error> {
    let mut inputs = Tensors::new();
    for (index, (name, fact)) in session.inputs().enumerate() {
        let dim = |dim: &gristmill::Dim| dim.as_fixed().map_or(size, |fixed| fixed as usize);
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
            dtype => {
                let message = format!("input `{name}` of type {dtype}: give it with --in");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        };
        inputs.insert(name, tensor);
    }
    Ok(inputs)
}
