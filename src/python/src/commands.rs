//! The commands of the console script: those of the examples, with their own code.

#[path = "../../../examples/classify/command.rs"]
pub(crate) mod classify;
#[path = "../../../examples/common/mod.rs"]
pub(crate) mod common;
#[path = "../../../examples/embed/command.rs"]
pub(crate) mod embed;
#[cfg(feature = "vision")]
#[path = "../../../examples/embed_images/command.rs"]
mod embed_images;
#[path = "../../../examples/identify/command.rs"]
mod identify;
#[path = "../../../examples/inspect/command.rs"]
mod inspect;
#[cfg(feature = "files")]
#[path = "../../../examples/common/model_table.rs"]
pub(crate) mod model_table;
#[path = "../../../examples/rerank/command.rs"]
pub(crate) mod rerank;
#[path = "../../../examples/run/command.rs"]
mod run;
#[path = "../../../examples/tag/command.rs"]
pub(crate) mod tag;
#[path = "../../../examples/common/text_job.rs"]
mod text_job;
#[cfg(feature = "files")]
#[path = "../../../examples/verify_job/command.rs"]
mod verify_job;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use lexopt::Parser;
use pyo3::{Python, pyfunction};

use common::{Failure, Outcome};
#[cfg(feature = "vision")]
use embed::{npy, vectors};

/// A command's name, what it does, and the command itself.
type Command = (&'static str, &'static str, fn(Parser) -> Outcome);

const COMMANDS: &[Command] = &[
    ("embed", "texts to vectors", embed::embed),
    #[cfg(feature = "vision")]
    ("embed-images", "images to vectors", embed_images::embed),
    ("classify", "texts to classes", classify::classify),
    ("rerank", "pairs of a query and a document to scores", rerank::rerank),
    ("tag", "texts to entities", tag::tag),
    ("run", "any ONNX model on arrays or tables", run::run),
    ("identify", "the types of files, by a model in this package", identify::identify),
    ("inspect", "what a model holds and how it runs", inspect::describe),
    #[cfg(feature = "files")]
    ("verify-job", "whether the folder of a job is complete, or like another", verify_job::verify),
];

/// Runs a command line without its program's name, and returns the exit code.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| common::failure::code(dispatch(arguments)))
}

fn dispatch(mut arguments: Vec<OsString>) -> Outcome {
    if arguments.is_empty() {
        return Err(Failure::usage(usage()));
    }
    let name = arguments.remove(0);
    match name.to_str() {
        Some("--help" | "-h") => writeln!(io::stdout(), "{}", usage())?,
        Some("--version") => writeln!(io::stdout(), "gristmill {}", env!("CARGO_PKG_VERSION"))?,
        name => match COMMANDS.iter().find(|(own, ..)| name == Some(own)) {
            Some((name, _, command)) => {
                // The program's name comes first.
                let program = OsString::from(format!("gristmill {name}"));
                return command(Parser::from_iter(std::iter::once(program).chain(arguments)));
            }
            None => {
                let name = name.unwrap_or("the name");
                return Err(Failure::usage(format!("{name} is no command; see gristmill --help")));
            }
        },
    }
    Ok(0)
}

fn usage() -> String {
    let lines: Vec<String> = COMMANDS.iter().map(|(name, does, _)| format!("  {name:14}{does}")).collect();
    format!(
        "usage: gristmill COMMAND ...\n\n{}\n\ngristmill COMMAND --help tells the flags of a command.",
        lines.join("\n")
    )
}
