//! The command `inspect`: what a model holds, and how it runs.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use gristmill::{Model, inspect::inspect};
use lexopt::Parser;

use super::common::{
    Common, Failure, Flag, Outcome,
    failure::writing,
    output::{self, OutputFile},
};

const USAGE: &str = "\
usage: inspect [FLAGS] MODEL

  --svg OUT.svg  draws the graph as it runs";

/// Runs the command.
pub fn describe(command_line: Parser) -> Outcome {
    let (mut model, mut svg) = (None, None);
    let common = Common::parse(command_line, USAGE, |flag, parser| {
        match flag {
            Flag::Value(path) if model.is_none() => model = Some(PathBuf::from(path)),
            Flag::Named("svg") => svg = Some(PathBuf::from(parser.value()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let model = model.ok_or_else(|| Failure::usage(USAGE))?;
    let read = output::model_files(&model, &svg.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let read: Vec<&Path> = read.iter().map(PathBuf::as_path).collect();
    if let Some(path) = &svg {
        output::check(path, &read)?;
    }
    let inspection = inspect(Model::open(&model)?, &common.options())?;
    write!(io::stdout(), "{inspection}")?;
    if let Some(path) = svg {
        // From here on a signal leaves no half file.
        common.stop();
        let mut file = OutputFile::create(&path, &read)?;
        file.write_all(inspection.to_svg().as_bytes()).map_err(|error| writing(&path, &error))?;
        file.finish()?;
    }
    Ok(common.code(false))
}
