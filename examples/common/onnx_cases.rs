//! Runs ONNX backend tests: one folder per case, with `model.onnx` and `test_data_set_*/{input,output}_*.pb`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use gristmill::{
    DType, Error, ErrorKind, Fact, ImportOptions, Model, Result, SessionOptions, Tensor, Tensors, Value,
    testing::{
        import::onnx::{read_tensor, read_value},
        ops::random,
    },
};

/// The tolerances of ONNX's own runner.
const RELATIVE: f64 = 1e-3;
pub const ABSOLUTE: f64 = 1e-7;

/// The absolute tolerance of Fourier transforms, of which ONNX's expected results are rounded at every step.
const ABSOLUTE_OF_TRANSFORMS: f64 = 1e-5;

/// The absolute tolerance of a case's results.
fn tolerance(model: &Path) -> f64 {
    let case = model.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    if case.starts_with("test_dft") { ABSOLUTE_OF_TRANSFORMS } else { ABSOLUTE }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Passed,
    /// Passed with operands that were given when the model was loaded.
    PassedAtLoad,
    /// Passed as far as can be: random numbers are compared by their types and shapes.
    PassedAtRandom,
    /// Refused, and why.
    Unsupported(String),
    /// Wrong or broken, and how.
    Failed(String),
}

impl State {
    /// The state in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::PassedAtLoad => "passed-at-load",
            Self::PassedAtRandom => "passed-at-random",
            Self::Unsupported(_) => "unsupported",
            Self::Failed(_) => "FAILED",
        }
    }

    /// Why the case did not pass.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unsupported(reason) | Self::Failed(reason) => Some(reason),
            Self::Passed | Self::PassedAtLoad | Self::PassedAtRandom => None,
        }
    }
}

/// Runs every case under the folders, in the order of their paths.
pub fn run_all(folders: &[PathBuf], options: &SessionOptions) -> std::io::Result<Vec<(PathBuf, State)>> {
    let mut cases = Vec::new();
    for folder in folders {
        find(folder, &mut cases)?;
    }
    cases.sort();
    let run = |case: PathBuf| {
        let state = match run(&case, options) {
            Ok(Passed { random: true, .. }) => State::PassedAtRandom,
            Ok(Passed { constants: true, .. }) => State::PassedAtLoad,
            Ok(Passed { .. }) => State::Passed,
            Err(error) if error.kind() == ErrorKind::Unsupported => State::Unsupported(error.to_string()),
            Err(error) => State::Failed(error.to_string()),
        };
        (case, state)
    };
    Ok(cases.into_iter().map(run).collect())
}

fn find(folder: &Path, cases: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if folder.join("model.onnx").is_file() {
        cases.push(folder.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), cases)?;
        }
    }
    Ok(())
}

struct Passed {
    /// Whether operands were given when the model was loaded.
    constants: bool,
    /// Whether the model draws random numbers.
    random: bool,
}

fn run(case: &Path, options: &SessionOptions) -> Result<Passed> {
    let path = case.join("model.onnx");
    let mut sets: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(case).map_err(|error| Error::io(error, "listing the case"))? {
        let path = entry.map_err(|error| Error::io(error, "listing the case"))?.path();
        if path.is_dir() {
            sets.push(path);
        }
    }
    let (mut constants, mut random) = (false, false);
    for set in &sets {
        match run_set(&path, set, options, Constants::None) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                // A second try with all operands but the first, a third with that one too.
                random |= run_set(&path, set, options, Constants::AllButFirst)
                    .or_else(|_| run_set(&path, set, options, Constants::All))
                    .map_err(|other| if other.kind() == ErrorKind::Unsupported { error } else { other })?;
                constants = true;
            }
            result => random |= result?,
        }
    }
    Ok(Passed { constants, random })
}

/// The inputs that are given when the model is loaded.
#[derive(Clone, Copy, PartialEq)]
enum Constants {
    None,
    AllButFirst,
    All,
}

/// Runs one set of inputs; whether the model draws random numbers.
fn run_set(model: &Path, set: &Path, options: &SessionOptions, constants: Constants) -> Result<bool> {
    let (opened, absolute) = (Model::open(model), tolerance(model));
    let mut import = ImportOptions::default();
    let kinds = |outputs: bool| -> Vec<Fact> {
        let Ok(model) = &opened else { return Vec::new() };
        let graph = model.graph();
        let ids = if outputs { graph.outputs() } else { graph.inputs() };
        ids.iter().map(|&id| graph.fact(id).clone()).collect()
    };
    let given = values(set, "input", &kinds(false))?;
    let wanted = values(set, "output", &kinds(true))?;
    let names: Vec<String> = match &opened {
        Ok(model) => model.graph().inputs().iter().map(|&id| model.graph().value(id).name.clone()).collect(),
        Err(_) => given.values().map(|(name, _)| name.clone()).collect(),
    };
    let mut inputs = Tensors::new();
    for (index, (name, value)) in &given {
        let name = if name.is_empty() { names.get(*index).cloned().unwrap_or_default() } else { name.clone() };
        let at_load = match constants {
            Constants::None => false,
            Constants::AllButFirst => *index > 0,
            Constants::All => true,
        };
        match value {
            Value::Tensor(tensor) if at_load => import = import.constant(name, tensor.clone()),
            value => inputs.insert_value(name, value.clone()),
        }
    }
    let model = if constants == Constants::None { opened? } else { Model::open_with(model, &import)? };
    let random = random::find(model.graph()).is_some();
    let session = model.session(options)?;
    let outputs = session.run(&inputs)?;
    let output_names: Vec<String> = session.outputs().map(|(name, _)| name.to_owned()).collect();
    for (index, (name, want)) in wanted {
        let got = output_names.get(index).and_then(|name| outputs.get_value(name));
        let got = got.ok_or_else(|| Error::user(format!("output {index} is missing")))?;
        let alike = |got: &Tensor, want: &Tensor| got.dtype() == want.dtype() && got.shape() == want.shape();
        if random && matches!((&got, &want), (Value::Tensor(got), Value::Tensor(want)) if alike(got, want)) {
            continue;
        }
        if let Some(what) = unlike(&got, &want, absolute) {
            return Err(Error::user(format!("output `{name}`: {what}")));
        }
    }
    Ok(random)
}

/// The values of `set` by number, with their names; `kinds` says what the model takes or gives.
fn values(set: &Path, what: &str, kinds: &[Fact]) -> Result<BTreeMap<usize, (String, Value)>> {
    let mut found = BTreeMap::new();
    for index in 0.. {
        let path = set.join(format!("{what}_{index}.pb"));
        if !path.exists() {
            break;
        }
        let bytes = fs::read(&path).map_err(|error| Error::io(error, path.display().to_string()))?;
        let value = match kinds.get(index) {
            Some(kind) => read_value(&bytes, kind),
            None => read_tensor(&bytes).map(|(name, tensor)| (name, Value::Tensor(tensor))),
        };
        let unreadable = |error: Error| Error::new(ErrorKind::Unsupported, format!("{}: {error}", path.display()));
        found.insert(index, value.map_err(unreadable)?);
    }
    Ok(found)
}

/// A description of how a value differs from `want`, `None` if it does not.
fn unlike(got: &Value, want: &Value, absolute: f64) -> Option<String> {
    match (got, want) {
        (Value::Tensor(got), Value::Tensor(want)) => difference(got, want, absolute),
        (Value::Sequence(got), Value::Sequence(want)) if got.len() == want.len() => {
            got.iter().zip(want).find_map(|(got, want)| unlike(got, want, absolute))
        }
        (Value::Optional(None), Value::Optional(None)) => None,
        (Value::Optional(Some(got)), Value::Optional(Some(want))) => unlike(got, want, absolute),
        _ => Some(format!("{got:?} instead of {want:?}")),
    }
}

/// A description of how `got` differs from `want`, `None` if it does not.
pub fn difference(got: &Tensor, want: &Tensor, absolute: f64) -> Option<String> {
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        return Some(format!("{got:?} instead of {want:?}"));
    }
    if got.dtype() == DType::String {
        return (got != want).then(|| format!("{got:?} instead of {want:?}"));
    }
    // Half types hold fewer digits: two units of the last place.
    let relative = match got.dtype() {
        DType::F16 => RELATIVE.max(2.0 / 1024.0),
        DType::BF16 => RELATIVE.max(2.0 / 128.0),
        _ => RELATIVE,
    };
    let (Some(got), Some(want)) = (numbers(got), numbers(want)) else {
        return (got.bytes() != want.bytes()).then(|| "other elements".to_owned());
    };
    got.iter().zip(&want).enumerate().find_map(|(index, (&got, &want))| {
        let near = got == want
            || (got.is_nan() && want.is_nan())
            || (want.is_finite() && (got - want).abs() <= absolute + relative * want.abs());
        (!near).then(|| format!("element {index} is {got:e} instead of {want:e}"))
    })
}

/// The numbers of a floating-point tensor.
fn numbers(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().ok().map(|all| all.iter().map(|&value| f64::from(value)).collect()),
        DType::F64 => tensor.as_slice::<f64>().ok().map(<[f64]>::to_vec),
        DType::F16 => tensor.as_slice::<half::f16>().ok().map(|all| all.iter().map(|value| value.to_f64()).collect()),
        DType::BF16 => tensor.as_slice::<half::bf16>().ok().map(|all| all.iter().map(|value| value.to_f64()).collect()),
        _ => None,
    }
}
