//! Random graphs that ONNX Runtime ran: gristmill agrees with it, or says why it does not open them.

use std::{
    collections::HashMap,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::Command,
};

use gristmill::{Batching, DType, Device, Error, ErrorKind, Model, SessionOptions, Tensor, Tensors, bulk::Bulk};

use crate::{
    onnx_runtime::{LEAST, difference},
    support::data::{data, root},
};

/// How far a number may be off, of the largest of its result.
const FLOAT: f64 = 1e-4;
/// The same for results of f16, which other ways of computing round elsewhere.
const HALF: f64 = 1e-2;
/// Graphs of the test command, and of the full tier.
const ORDINARY: usize = 1_000;
const FULL: usize = 20_000;
/// The first seed of the full tier's graphs.
const FULL_SEED: usize = 1_000_000;

/// What a run says of a declared size of 0 that a `Slice` needs to be at least 1, alone or in a position.
const EMPTY: [&str; 2] = [
    "an axis that is cut is of size 0 where at least 1 is needed",
    "an axis that is cut, or its part, is of size -1 where at least 0 is needed",
];

/// A graph, its inputs and ONNX Runtime's results.
struct Record {
    seed: u64,
    operators: String,
    model: Vec<u8>,
    runs: Vec<(Tensors, Tensors)>,
    /// The largest number from which each output is made: what is left of it where numbers cancel is of no account.
    scales: HashMap<String, f64>,
}

/// What a file of `tests/scripts/random_graphs` holds.
fn records(path: &Path) -> Vec<Record> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(*rest.split_off(..4).unwrap().first_chunk().unwrap());
        let header: serde_json::Value = serde_json::from_slice(rest.split_off(..length as usize).unwrap()).unwrap();
        let number = |value: &serde_json::Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let model = rest.split_off(..number(&header["model"])).unwrap().to_vec();
        let mut array = |header: &serde_json::Value| {
            let shape: Vec<usize> = header["shape"].as_array().unwrap().iter().map(number).collect();
            if let Some(texts) = header["texts"].as_array() {
                let texts: Vec<&str> = texts.iter().map(|text| text.as_str().unwrap()).collect();
                return Tensor::from_strings(shape, &texts).unwrap();
            }
            let bytes = rest.split_off(..number(&header["length"])).unwrap();
            Tensor::from_bytes(dtype(header["dtype"].as_str().unwrap()), shape, bytes).unwrap()
        };
        let mut arrays = |headers: &serde_json::Value| {
            let headers = headers.as_array().unwrap().iter();
            headers.fold(Tensors::new(), |all, header| all.with(header["name"].as_str().unwrap(), array(header)))
        };
        let runs = header["runs"].as_array().unwrap().iter();
        let runs = runs.map(|run| (arrays(&run["inputs"]), arrays(&run["outputs"]))).collect();
        let outputs = header["runs"].as_array().unwrap().iter().flat_map(|run| run["outputs"].as_array().unwrap());
        let scale = |output: &serde_json::Value| Some((output["name"].as_str()?.to_owned(), output["scale"].as_f64()?));
        let scales = outputs.filter_map(scale).collect();
        let seed = header["seed"].as_u64().unwrap();
        all.push(Record { seed, operators: header["operators"].to_string(), model, runs, scales });
    }
    all
}

/// The type that NumPy calls so.
fn dtype(name: &str) -> DType {
    match name {
        "float16" => DType::F16,
        "float32" => DType::F32,
        "float64" => DType::F64,
        "bool" => DType::Bool,
        "int8" => DType::I8,
        "int16" => DType::I16,
        "int32" => DType::I32,
        "int64" => DType::I64,
        "uint8" => DType::U8,
        "uint16" => DType::U16,
        "uint32" => DType::U32,
        "uint64" => DType::U64,
        _ => panic!("{name} is no type of these files"),
    }
}

/// What becomes of a graph that does not fail.
enum Outcome {
    Agrees { joined: bool },
    Refused(String),
}

/// The same bits, or both not a number: its sign and payload are nobody's.
fn same(a: &Tensor, b: &Tensor) -> bool {
    let unknown = |tensor: &Tensor| tensor.as_slice::<f32>().ok().map(|all| all.iter().any(|x| x.is_nan()));
    if unknown(a) == Some(true) {
        let (a, b) = (a.as_slice::<f32>().unwrap(), b.as_slice::<f32>().unwrap_or_default());
        return a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
    }
    a.shape() == b.shape() && a.dtype() == b.dtype() && (a.bytes() == b.bytes() || a == b)
}

fn check(record: &Record) -> Result<Outcome, String> {
    let open =
        || -> gristmill::Result<_> { Model::from_bytes(&record.model)?.session(&SessionOptions::on(Device::Cpu)) };
    let session = match open() {
        Ok(session) => session,
        Err(error) => return refused(&error),
    };
    let mut alone = Vec::new();
    for (number, (inputs, want)) in record.runs.iter().enumerate() {
        let outputs = match session.run(inputs) {
            Ok(outputs) => outputs,
            // Said of a size when the run begins, as the manifest knows.
            Err(error) if EMPTY.iter().any(|known| error.to_string().contains(known)) => {
                return Ok(Outcome::Refused(error.to_string()));
            }
            Err(error) => return Err(format!("run {number} failed: {error}")),
        };
        for (name, want) in want.iter() {
            let got = outputs.get(name).ok_or_else(|| format!("no output `{name}`"))?;
            let (tolerance, part) = if want.dtype() == DType::F16 { (HALF, 0.2) } else { (FLOAT, 0.02) };
            let least = LEAST.max(record.scales.get(name).map_or(0.0, |scale| scale * part));
            if let Some(what) = difference(got, want, tolerance, least) {
                return Err(format!("run {number}, output `{name}`: {what}"));
            }
        }
        alone.push(outputs);
    }
    let joined = !matches!(session.batching(), Batching::Single { .. });
    let order = [0, 1, 1, 0, 0];
    let items: Vec<Tensors> = order.iter().map(|&run: &usize| record.runs[run].0.clone()).collect();
    let bulk = Bulk::new(session);
    for chunk in [items.len(), 2].into_iter().take(if joined { 2 } else { 1 }) {
        let (results, _) = bulk.clone().chunk_size(chunk).run(&items);
        for (place, (result, run)) in results.into_iter().zip(order).enumerate() {
            let result = result.map_err(|error| format!("item {place} of a chunk of {chunk} failed: {error}"))?;
            for (name, want) in alone[run].iter() {
                if !result.get(name).is_some_and(|got| same(got, want)) {
                    return Err(format!("item {place} of a chunk of {chunk}, `{name}`: other bits than alone"));
                }
            }
        }
    }
    Ok(Outcome::Agrees { joined })
}

fn refused(error: &Error) -> Result<Outcome, String> {
    match error.kind() {
        ErrorKind::Unsupported => Ok(Outcome::Refused(error.to_string())),
        kind => Err(format!("not opened, {kind:?}: {error}")),
    }
}

/// The reasons that the manifest knows, a part of the message each.
fn known_reasons() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("tests/models/random_graphs.txt")).unwrap();
    let lines = manifest.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// Fails with what is wrong about the graphs of a file.
fn all_agree_or_are_refused(path: &Path, least: usize) {
    let all = records(path);
    assert!(all.len() >= least, "only {} graphs", all.len());
    let reasons = known_reasons();
    let (mut failed, mut agree, mut refused, mut together) = (Vec::new(), 0, 0, 0);
    for record in &all {
        let outcome = catch_unwind(AssertUnwindSafe(|| check(record)));
        let outcome = outcome.unwrap_or_else(|_| Err("a panic".to_owned()));
        match outcome {
            Ok(Outcome::Agrees { joined }) => {
                agree += 1;
                together += usize::from(joined);
            }
            Ok(Outcome::Refused(reason)) if reasons.iter().any(|known| reason.contains(known)) => refused += 1,
            Ok(Outcome::Refused(reason)) => failed.push((record, format!("refused: {reason}"))),
            Err(error) => failed.push((record, error)),
        }
    }
    println!("{agree} agree, {together} of them run together, {refused} are refused, {} fail", failed.len());
    let lines: Vec<String> =
        failed.iter().map(|(record, error)| format!("seed {}: {error} {}", record.seed, record.operators)).collect();
    assert!(failed.is_empty(), "{} of {} graphs:\n{}", failed.len(), all.len(), lines.join("\n"));
    assert!(together * 16 >= agree, "only {together} of {agree} run several items at once");
    assert!(refused * 20 <= all.len(), "{refused} of {} are refused", all.len());
}

/// Has graphs made, from a seed on.
fn made(seed: usize, count: usize, path: &Path) {
    let python = data("venv").join("bin/python");
    let script = root().join("tests/scripts/random_graphs");
    let status =
        Command::new(python).arg(script).args([seed, count].map(|n| n.to_string())).arg(path).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn random_graphs_agree_with_onnx_runtime() {
    // Another file than that of the set-up, to look for faults.
    match env::var_os("GRISTMILL_GRAPHS").map(PathBuf::from) {
        Some(other) => all_agree_or_are_refused(&other, 1),
        None => all_agree_or_are_refused(&data("runtime/graphs/graphs"), ORDINARY),
    }
}

#[test]
fn many_random_graphs_agree_with_onnx_runtime() {
    if env::var_os("GRISTMILL_FULL").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graphs");
    made(FULL_SEED, FULL, &path);
    all_agree_or_are_refused(&path, FULL);
}
