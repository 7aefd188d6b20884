//! Identifies the types of files with the bundled model, in bulk.
//!
//! `cargo run --release --example identify -- PATH...` prints one line per item; `--jsonl OUT` writes JSON lines instead.

#[path = "../common/mod.rs"]
mod common;
mod features;
mod files;
mod identifier;
mod labels;

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use common::{Common, Flag, Outcome, cut_off};
use gristmill::{ItemError, bulk::Bulk};
use identifier::Identifier;
use labels::Label;

const USAGE: &str = "\
identify [FLAGS] PATH...

Prints the type of each file; folders are walked. One line per item: path, label, and the model's score.

  --jsonl OUT   writes one JSON object per line instead: path, label, score, or path, error; - is standard output";

fn main() -> Outcome {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut jsonl: Option<PathBuf> = None;
    let common = Common::parse(USAGE, |flag, parser| {
        match flag {
            Flag::Named("jsonl") => jsonl = Some(parser.value()?.into()),
            Flag::Value(path) => paths.push(path.into()),
            Flag::Named(_) => return Ok(false),
        }
        Ok(true)
    })?;
    if paths.is_empty() {
        return Err(format!("no PATH given\n\nusage: {USAGE}").into());
    }
    let identifier = Identifier::load(&common.options())?;
    let mut out = Output::open(jsonl.as_deref())?;

    // Results arrive in the order of the paths, which wait here for their results.
    let waiting: Arc<Mutex<VecDeque<PathBuf>>> = Arc::default();
    let lock = |waiting: &Mutex<VecDeque<PathBuf>>, path: PathBuf| {
        waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(path);
    };
    let pulled = waiting.clone();
    let source = files::Files::below(paths).map(move |item| match item {
        Ok(path) => {
            lock(&pulled, path.clone());
            Ok(path)
        }
        Err((path, error)) => {
            lock(&pulled, path);
            Err(error)
        }
    });
    let mut results = common.bulk(Bulk::pipeline(identifier.pipeline())).map_results(source);
    for result in results.by_ref() {
        if cut_off(&result) {
            break;
        }
        let path = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or_default();
        out.write(&path, result)?;
    }
    out.close()?;
    common.end(&results.report())
}

/// The destination of the lines.
enum Output {
    Lines(BufWriter<std::io::Stdout>),
    Json(BufWriter<Box<dyn Write>>),
}

impl Output {
    fn open(jsonl: Option<&Path>) -> Result<Self, String> {
        match jsonl {
            None => Ok(Self::Lines(BufWriter::new(std::io::stdout()))),
            Some(path) if path == Path::new("-") => Ok(Self::Json(BufWriter::new(Box::new(std::io::stdout())))),
            Some(path) => {
                let file = File::create(path).map_err(|error| format!("writing {}: {error}", path.display()))?;
                Ok(Self::Json(BufWriter::new(Box::new(file))))
            }
        }
    }

    fn write(&mut self, path: &Path, result: Result<Label, ItemError>) -> std::io::Result<()> {
        match (self, result) {
            (Self::Lines(out), Ok(label)) => {
                writeln!(out, "{}: {} ({:.0} %)", path.display(), label.label, label.score * 100.0)
            }
            (Self::Lines(out), Err(error)) => writeln!(out, "{}: error: {}", path.display(), error.source),
            (Self::Json(out), result) => {
                let path = path.to_string_lossy();
                let line = match result {
                    Ok(label) => serde_json::json!({ "path": path, "label": label.label, "score": label.score }),
                    Err(error) => serde_json::json!({ "path": path, "error": error.source.to_string() }),
                };
                writeln!(out, "{line}")
            }
        }
    }

    fn close(&mut self) -> std::io::Result<()> {
        match self {
            Self::Lines(out) => out.flush(),
            Self::Json(out) => out.flush(),
        }
    }
}
