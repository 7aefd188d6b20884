//! Results as lines of JSON, on standard output or in a file.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Failure, failure::writing, output::OutputFile};

/// The destination of the lines.
pub enum JsonLines {
    Stdout(BufWriter<std::io::Stdout>),
    File(PathBuf, BufWriter<OutputFile>),
}

impl JsonLines {
    /// Begins a file, or standard output where there is no path or it is `-`.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        Ok(match path.filter(|path| path.as_os_str() != "-") {
            None => Self::Stdout(BufWriter::new(std::io::stdout())),
            Some(path) => Self::File(path.to_owned(), BufWriter::new(OutputFile::create(path, &[])?)),
        })
    }

    /// Adds a line.
    pub fn write(&mut self, value: &Value) -> Result<(), Failure> {
        match self {
            Self::Stdout(out) => Ok(writeln!(out, "{value}")?),
            Self::File(path, out) => writeln!(out, "{value}").map_err(|error| writing(path, &error)),
        }
    }

    /// Writes what is left and makes the file appear under its name.
    pub fn close(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(mut out) => Ok(out.flush()?),
            Self::File(path, out) => out.into_inner().map_err(|error| writing(&path, error.error()))?.finish(),
        }
    }
}
