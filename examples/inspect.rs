//! Describes a model: inputs, outputs, operators, what was fused, and which backend runs what.
//!
//! ```text
//! cargo run --release --example inspect -- MODEL [--svg OUT.svg]
//! ```
//!
//! `MODEL` is an ONNX file or a Hugging Face folder. A model that needs operators which are not supported is refused
//! with the list of them.

mod common;

use std::{fs, path::PathBuf};

use common::{Common, Flag, Outcome};
use gristmill::{Model, inspect::inspect};

const USAGE: &str = "\
usage: inspect [FLAGS] MODEL

  --svg OUT.svg  draws the graph as it runs";

fn main() -> Outcome {
    let (mut model, mut svg) = (None, None);
    let common = Common::parse(USAGE, |flag, parser| {
        match flag {
            Flag::Value(path) if model.is_none() => model = Some(PathBuf::from(path)),
            Flag::Named("svg") => svg = Some(PathBuf::from(parser.value()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let model = model.ok_or(USAGE)?;
    let inspection = inspect(Model::open(&model)?, &common.options())?;
    print!("{inspection}");
    if let Some(path) = svg {
        fs::write(&path, inspection.to_svg()).map_err(|error| format!("writing {}: {error}", path.display()))?;
    }
    Ok(())
}
