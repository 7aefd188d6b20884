//! Models that ONNX Runtime ran when the test data were set up: its own operators, and real files.

use std::{env, fs, path::PathBuf};

use gristmill::{Batching, DType, Device, Model, Session, SessionOptions, Tensor, Tensors, bulk::Bulk};

use crate::support::{data::data, npz};

/// How far a number may be off, of the largest of its result.
const FLOAT: f64 = 1e-4;
/// The same where numbers become bytes on the way, which rounds differences up to whole steps.
const QUANTIZED: f64 = 1e-3;
/// The same where the result itself is bytes: a step, where a sum lies between two of them.
const STEP: f64 = 1e-2;
/// At least so many models of each folder; the numbers may only grow.
const OPERATORS: usize = 97;
const MODELS: usize = 29;
/// What a result that is near 0 everywhere is measured by: sigmoids far out differ in their last steps.
pub const LEAST: f64 = 1e-3;

/// Bytes of a small model.
const SMALL: u64 = 1_300_000;

/// A model and its runs.
struct Case {
    name: String,
    path: PathBuf,
    runs: Vec<(Tensors, Tensors)>,
}

/// The models of a folder, by name.
fn cases(folder: &str) -> Vec<Case> {
    let folder = data(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    let case = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let run = |number: usize| folder.join(format!("{name}.{number}.npz"));
        let runs = (0..).map(run).take_while(|path| path.exists()).map(|path| {
            let all = npz::read(&path).unwrap();
            (arrays(&all, "input."), arrays(&all, "output."))
        });
        let runs: Vec<_> = runs.collect();
        assert!(!runs.is_empty(), "{name} has no runs");
        Case { name, runs, path }
    };
    paths.into_iter().map(case).collect()
}

/// The arrays whose names begin with `kind`, under the rest of their names.
fn arrays(all: &Tensors, kind: &str) -> Tensors {
    let own = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(kind)?, tensor.clone())));
    own.fold(Tensors::new(), |tensors, (name, tensor)| tensors.with(name, tensor))
}

fn open(case: &Case) -> Result<Session, String> {
    let model = Model::open(&case.path).map_err(|error| error.to_string())?;
    model.session(&SessionOptions::on(Device::Cpu)).map_err(|error| error.to_string())
}

/// How `got` differs from what ONNX Runtime made, by the largest of its numbers or `least`.
pub fn difference(got: &Tensor, want: &Tensor, tolerance: f64, least: f64) -> Option<String> {
    if got.shape() != want.shape() || got.dtype() != want.dtype() {
        return Some(format!("{:?} of {} instead of {:?} of {}", got.shape(), got.dtype(), want.shape(), want.dtype()));
    }
    let numbers = |tensor: &Tensor| -> Option<Vec<f64>> {
        match tensor.dtype() {
            DType::F32 => Some(tensor.as_slice::<f32>().ok()?.iter().map(|&x| f64::from(x)).collect()),
            DType::F64 => Some(tensor.as_slice::<f64>().ok()?.to_vec()),
            DType::F16 => Some(tensor.as_slice::<half::f16>().ok()?.iter().map(|x| x.to_f64()).collect()),
            _ => None,
        }
    };
    let (Some(got_all), Some(want_all)) = (numbers(got), numbers(want)) else {
        return (got != want).then(|| format!("{got:?} instead of {want:?}"));
    };
    let largest = want_all.iter().fold(least, |most, x| most.max(x.abs()));
    let off = |(got, want): (&f64, &f64)| if got == want { 0.0 } else { (got - want).abs() / largest };
    let worst =
        got_all.iter().zip(&want_all).map(off).fold(0.0, |worst: f64, off| if off > worst { off } else { worst });
    let unknown = got_all.iter().zip(&want_all).any(|(got, want)| got.is_nan() != want.is_nan());
    (unknown || worst > tolerance).then(|| format!("off by {worst:e} of the largest number"))
}

fn check(case: &Case, tolerance: f64) -> Result<(), String> {
    let session = open(case)?;
    for (number, (inputs, want)) in case.runs.iter().enumerate() {
        let outputs = session.run(inputs).map_err(|error| format!("run {number}: {error}"))?;
        for (name, want) in want.iter() {
            let got = outputs.get(name).ok_or_else(|| format!("no output `{name}`"))?;
            if let Some(what) = difference(got, want, tolerance, LEAST) {
                return Err(format!("run {number}, output `{name}`: {what}"));
            }
        }
    }
    Ok(())
}

fn all_agree(folder: &str, least: usize, tolerance: impl Fn(&str) -> f64) {
    let cases = cases(folder);
    assert!(cases.len() >= least, "only {} models", cases.len());
    let failed = cases.iter().filter_map(|case| {
        let error = check(case, tolerance(&case.name)).err()?;
        Some(format!("{}: {error}", case.name))
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn operators_of_onnx_runtime_agree_with_it() {
    all_agree("runtime/operators", OPERATORS, |name| if name.starts_with("dynamic") { QUANTIZED } else { FLOAT });
}

#[test]
fn real_models_agree_with_onnx_runtime() {
    all_agree("runtime/models", MODELS, |name| match name {
        _ if name.starts_with("quantized") => STEP,
        // States that become bytes in each step round apart now and then.
        _ if name.contains("text2tashkeel") => STEP,
        _ if name.contains("int8") => QUANTIZED,
        _ => FLOAT,
    });
}

#[test]
fn an_item_of_a_real_model_does_not_depend_on_its_neighbours() {
    // The small ones in the test command, all of them in the full tier.
    let full = env::var_os("GRISTMILL_FULL").is_some();
    let small = |case: &Case| fs::metadata(&case.path).unwrap().len() < SMALL && !case.name.contains("dnsmos");
    let mut joined = 0;
    for case in cases("runtime/models").into_iter().filter(|case| full || small(case)) {
        let session = open(&case).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        joined += usize::from(!matches!(session.batching(), Batching::Single { .. }));
        let alone: Vec<Tensors> = case.runs.iter().map(|(inputs, _)| session.run(inputs).unwrap()).collect();
        // Items of equal sizes stand next to one another, and with others between them.
        let order: Vec<usize> = [0, 1, 1, 0, 0].into_iter().map(|run| run % alone.len()).collect();
        let items: Vec<Tensors> = order.iter().map(|&run| case.runs[run].0.clone()).collect();
        let (results, _) = Bulk::new(session).chunk_size(items.len()).run(&items);
        for (place, (result, &run)) in results.into_iter().zip(&order).enumerate() {
            let result = result.unwrap_or_else(|error| panic!("{}, item {place}: {error}", case.name));
            for (name, want) in alone[run].iter() {
                let got = result.get(name).unwrap();
                assert!(got.bytes() == want.bytes(), "{}, item {place}, `{name}`: other bits", case.name);
            }
        }
    }
    assert!(joined >= if full { 10 } else { 3 }, "only {joined} models run several items at once");
}
