//! Models that scikit-learn, LightGBM and XGBoost export, against what they predict themselves.

use std::{fs, path::PathBuf};

use gristmill::{DType, Device, Model, SessionOptions, Tensor, Tensors};

use crate::support::{data::data, npz};

/// How far a score may be off, of 1 or of its own magnitude.
const SCORE: f64 = 1e-5;
/// At least so many models; the number may only grow.
const MODELS: usize = 105;

/// The models of the folder, by name.
fn models() -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(data("tabular")).unwrap().map(|entry| entry.unwrap().path());
    let models = files.filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    let mut models: Vec<_> = models.map(|path| (path.file_stem().unwrap().to_string_lossy().into(), path)).collect();
    models.sort();
    models
}

/// The arrays of a model whose names begin with `kind`, under the rest of their names.
fn arrays(all: &Tensors, kind: &str) -> Tensors {
    let own = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(kind)?, tensor.clone())));
    own.fold(Tensors::new(), |tensors, (name, tensor)| tensors.with(name, tensor))
}

/// How `got` differs from what the library predicts.
fn difference(got: &Tensor, want: &Tensor) -> Option<String> {
    if got.shape() != want.shape() {
        return Some(format!("{got:?} instead of {want:?}"));
    }
    if want.dtype() != DType::F32 {
        let same = match want.dtype() {
            DType::String => got == want,
            _ => got.to_i64().ok() == want.to_i64().ok(),
        };
        return (!same).then(|| format!("other labels: {got:?} instead of {want:?}"));
    }
    let (Ok(got), Ok(want)) = (got.as_slice::<f32>(), want.as_slice::<f32>()) else {
        return Some(format!("{got:?} instead of {want:?}"));
    };
    got.iter().zip(want).enumerate().find_map(|(index, (&got, &want))| {
        let off = (f64::from(got) - f64::from(want)).abs();
        (off.is_nan() || off > SCORE * f64::from(want.abs()).max(1.0))
            .then(|| format!("element {index} is {got} instead of {want}"))
    })
}

fn check(path: &PathBuf) -> Result<(), String> {
    let all = npz::read(&path.with_extension("npz"))?;
    let model = Model::open(path).map_err(|error| error.to_string())?;
    let session = model.session(&SessionOptions::on(Device::Cpu)).map_err(|error| error.to_string())?;
    let outputs = session.run(&arrays(&all, "input.")).map_err(|error| error.to_string())?;
    for (name, want) in arrays(&all, "output.").iter() {
        let got = outputs.get(name).ok_or_else(|| format!("no output `{name}`"))?;
        if let Some(what) = difference(got, want) {
            return Err(format!("output `{name}`: {what}"));
        }
    }
    Ok(())
}

#[test]
fn exported_models_agree_with_their_libraries() {
    let models = models();
    assert!(models.len() >= MODELS, "only {} models", models.len());
    let failed = models.iter().filter_map(|(name, path)| Some(format!("{name}: {}", check(path).err()?)));
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), models.len(), failed.join("\n"));
}
