//! Any ONNX model on named arrays, one call.
//!
//! ```text
//! cargo run --release --example run -- MODEL.onnx --in IN.npz --out OUT.npz
//! ```
//!
//! `IN.npz` holds one array for each input of the model, under its name (`numpy.savez("IN.npz", input_ids=...)`);
//! `OUT.npz` gets one for each output.

mod common;

use std::path::{Path, PathBuf};

use common::{Common, Flag, Outcome, npz};
use gristmill::{Model, Session, Tensors, bulk::Bulk};

const USAGE: &str = "\
usage: run [FLAGS] MODEL.onnx --in IN.npz --out OUT.npz

  --in IN.npz    the inputs, one array each, under the inputs' names
  --out OUT.npz  where to write the outputs";

fn main() -> Outcome {
    let (mut model, mut input, mut output) = (None, None, None);
    let common = Common::parse(USAGE, |flag, parser| {
        let slot = match flag {
            Flag::Value(path) if model.is_none() => {
                model = Some(PathBuf::from(path));
                return Ok(true);
            }
            Flag::Named("in") => &mut input,
            Flag::Named("out") => &mut output,
            _ => return Ok(false),
        };
        *slot = Some(PathBuf::from(parser.value()?));
        Ok(true)
    })?;
    let (Some(model), Some(input), Some(output)) = (model, input, output) else {
        return Err(USAGE.into());
    };
    let inputs = npz::read(&input)?;
    let session = Model::open(&model)?.session(&common.options())?;
    check_names(&session, &inputs, &input)?;
    let (mut results, report) = common.bulk(Bulk::new(session)).run(&[inputs]);
    if let Some(result) = results.pop() {
        npz::write(&output, result.map_err(|error| error.source)?.iter())?;
    }
    common.end(&report)
}

/// Holds the arrays against the inputs, all differences in one message.
fn check_names(session: &Session, inputs: &Tensors, path: &Path) -> Result<(), String> {
    let missing = session.inputs().filter(|(name, _)| inputs.get(name).is_none());
    let missing: Vec<_> = missing.map(|(name, fact)| format!("missing is `{name}`, {fact}")).collect();
    let unknown = inputs.iter().filter(|(name, _)| session.inputs().all(|(own, _)| own != *name));
    let unknown: Vec<_> = unknown.map(|(name, _)| format!("`{name}` is no input of the model")).collect();
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(format!("{}: {}", path.display(), [missing, unknown].concat().join("; ")))
}
