//! The formats of files, and how their names tell them.

use std::{fmt, path::Path, str::FromStr};

use crate::error::{Error, Result};

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A text a line, in the column `text`; read only.
    Lines,
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values below a line of names; read only.
    Csv,
    /// Values separated by tabs below a line of names; read only.
    Tsv,
    /// Apache Parquet; with the feature `parquet`.
    Parquet,
    /// Arrow's IPC format: files and streams are read, files written; with the feature `parquet`.
    Arrow,
    /// NumPy's format; written only, and for a single column of vectors.
    Npy,
}

const NAMES: &[(Format, &str, &[&str])] = &[
    (Format::Lines, "lines", &["txt", "text", "lines"]),
    (Format::Jsonl, "jsonl", &["jsonl", "ndjson"]),
    (Format::Csv, "csv", &["csv"]),
    (Format::Tsv, "tsv", &["tsv"]),
    (Format::Parquet, "parquet", &["parquet"]),
    (Format::Arrow, "arrow", &["arrow", "feather", "ipc", "arrows"]),
    (Format::Npy, "npy", &["npy"]),
];

impl Format {
    /// The format that the name of a file tells; a last `.gz` or `.zst` does not count.
    pub(in crate::files) fn of(path: &Path) -> Option<Self> {
        let mut extension = extension(path)?;
        let inner;
        if matches!(extension.as_str(), "gz" | "zst") {
            inner = path.with_extension("");
            extension = self::extension(&inner)?;
        }
        NAMES.iter().find(|(_, _, extensions)| extensions.contains(&extension.as_str())).map(|(format, ..)| *format)
    }

    /// Its name, which is the extension of parts in it too.
    pub(in crate::files) fn name(self) -> &'static str {
        NAMES.iter().find(|(format, ..)| *format == self).map_or("", |(_, name, _)| name)
    }

    /// Whether parts of a job can be in it.
    pub(in crate::files) fn is_written(self) -> bool {
        matches!(self, Self::Jsonl | Self::Npy) || (self.is_table() && cfg!(feature = "parquet"))
    }

    /// Whether inputs of a job can be in it.
    pub(in crate::files) fn is_read(self) -> bool {
        self != Self::Npy && (!self.is_table() || cfg!(feature = "parquet"))
    }

    /// Whether its columns have types.
    pub(in crate::files) fn is_table(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(_, other, _)| *other == name).map(|(format, ..)| *format);
        found.ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name, _)| *name).collect();
            Error::invalid_input(format!("no format is called `{name}`; there are {}", names.join(", ")))
        })
    }
}
