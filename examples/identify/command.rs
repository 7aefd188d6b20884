//! The command `identify`: the types of files.

mod features;
mod files;
mod identifier;
mod labels;
#[cfg(feature = "files")]
mod tables;

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use gristmill::{ItemError, bulk::Bulk};
use identifier::Identifier;
use labels::Label;
use lexopt::{Parser, ValueExt};

use super::common::{
    self, Common, Failure, Flag, Outcome,
    failure::{whole, writing},
    file_job::FileFlags,
    one_line,
    output::{self, OutputFile},
    plain_path,
};

const USAGE: &str = "\
usage: identify [FLAGS] PATH...
       identify [FLAGS] TABLE... --out-dir DIR

Prints the type of each file; folders are walked. One line per item: path, label, and the model's score.

With --out-dir the paths are those in a column of tables or lists, and the labels are written by a job over files.

  --column NAME the column of the paths, with --out-dir (text)
  --jsonl OUT   writes one JSON object per line instead: path, label, score, or path, error; - is standard output";

/// Runs the command.
pub fn identify(command_line: Parser) -> Outcome {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut jsonl: Option<PathBuf> = None;
    let (mut files, mut column) = (FileFlags::default(), None);
    let usage = format!("{USAGE}\n{}", common::file_job::FLAGS);
    let common = Common::parse(command_line, &usage, |flag, parser| {
        match flag {
            Flag::Named("jsonl") => jsonl = Some(parser.value()?.into()),
            Flag::Value(path) => paths.push(path.into()),
            Flag::Named("column") => column = Some(parser.value()?.string()?),
            flag => return files.take(&flag, parser),
        }
        Ok(true)
    })?;
    if paths.is_empty() {
        return Err(Failure::usage("no PATH given; see --help"));
    }
    files.check()?;
    if column.is_some() && files.out.is_none() {
        return Err(Failure::usage("--column is for jobs over files, with --out-dir DIR"));
    }
    #[cfg(feature = "files")]
    if files.out.is_some() {
        if jsonl.is_some() {
            return Err(Failure::usage("--jsonl and --out-dir are for different jobs; see --help"));
        }
        files.more = paths.split_off(1);
        return tables::identify(&files, &common, &paths[0], column.as_deref().unwrap_or("text"));
    }
    let mut read: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let file = jsonl.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(path) = file {
        output::check(path, &read)?;
        read.push(path);
    }
    common.check_report(&read)?;
    let identifier = Identifier::load(&common.options())?;
    let stop = common.stop();
    let mut out = Output::open(jsonl.as_deref())?;

    // Results arrive in the order of the paths, which wait here for their results.
    let waiting: Arc<Mutex<VecDeque<PathBuf>>> = Arc::default();
    let lock = |waiting: &Mutex<VecDeque<PathBuf>>, path: PathBuf| {
        waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(path);
    };
    let pulled = waiting.clone();
    // The file under construction is no item of the folder that it lies in.
    let part = out.part();
    let found = files::Files::below(paths);
    let found = found
        .filter(move |item| !item.as_ref().is_ok_and(|path| part.is_some() && path.file_name() == part.as_deref()));
    let source = found.map(move |item| match item {
        Ok(path) => {
            lock(&pulled, path.clone());
            Ok(path)
        }
        Err((path, error)) => {
            lock(&pulled, path);
            Err(error)
        }
    });
    let mut results = common.bulk(Bulk::pipeline(identifier.pipeline())).map_results(stop.until(source));
    for result in results.by_ref() {
        let path = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or_default();
        out.write(&path, result)?;
    }
    Common::check_started(&results.report())?;
    out.close()?;
    common.end(&results.report())
}

/// The destination of the lines.
enum Output {
    Lines(BufWriter<std::io::Stdout>),
    JsonLines(BufWriter<std::io::Stdout>),
    JsonFile(PathBuf, BufWriter<OutputFile>),
}

impl Output {
    fn open(jsonl: Option<&Path>) -> Result<Self, Failure> {
        let stdout = || BufWriter::new(std::io::stdout());
        Ok(match jsonl {
            None => Self::Lines(stdout()),
            Some(path) if path == Path::new("-") => Self::JsonLines(stdout()),
            Some(path) => Self::JsonFile(path.to_owned(), BufWriter::new(OutputFile::create(path, &[])?)),
        })
    }

    /// The name of the file under construction, if there is one.
    fn part(&self) -> Option<OsString> {
        match self {
            Self::JsonFile(_, out) => out.get_ref().part().map(OsStr::to_owned),
            Self::Lines(_) | Self::JsonLines(_) => None,
        }
    }

    fn write(&mut self, path: &Path, result: Result<Label, ItemError>) -> Result<(), Failure> {
        match self {
            Self::Lines(out) => match result {
                Ok(label) => writeln!(out, "{}: {} ({:.0} %)", plain_path(path), label.label, label.score * 100.0)?,
                Err(error) => writeln!(out, "{}: error: {}", plain_path(path), one_line(&whole(&error.source)))?,
            },
            Self::JsonLines(out) => writeln!(out, "{}", json(path, result))?,
            Self::JsonFile(own, out) => {
                writeln!(out, "{}", json(path, result)).map_err(|error| writing(own, &error))?;
            }
        }
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        match self {
            Self::Lines(mut out) | Self::JsonLines(mut out) => Ok(out.flush()?),
            Self::JsonFile(path, out) => out.into_inner().map_err(|error| writing(&path, error.error()))?.finish(),
        }
    }
}

/// One result as JSON; a path that is not UTF-8 has its bytes beside it.
fn json(path: &Path, result: Result<Label, ItemError>) -> serde_json::Value {
    let text = path.to_string_lossy();
    let mut line = match result {
        Ok(label) => serde_json::json!({ "path": text, "label": label.label, "score": label.score }),
        Err(error) => serde_json::json!({ "path": text, "error": whole(&error.source) }),
    };
    if path.to_str().is_none() {
        line["path_bytes"] = path.as_os_str().as_encoded_bytes().into();
    }
    line
}
