//! Rows that failed, with cause and content, a line a row.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    error::{Error, ErrorKind, Result, Stage, chain},
    files::{
        folder::{Folder, letters_name, reading},
        record::Record,
    },
};

/// The most bytes that a dead letter has of a row that is too long to be read.
pub(in crate::files) const EXCERPT: usize = 1024;

/// A row that failed.
#[derive(Clone, Debug)]
pub(in crate::files) struct Letter<'r> {
    pub(in crate::files) file: &'r str,
    /// Its number in the file, from 0.
    pub(in crate::files) row: u64,
    pub(in crate::files) id: Option<String>,
    pub(in crate::files) stage: Stage,
    pub(in crate::files) error: &'r Error,
    pub(in crate::files) content: Content<'r>,
}

/// The row itself.
#[derive(Clone, Debug)]
pub(in crate::files) enum Content<'r> {
    Record(&'r Record),
    /// The bytes of a row that could not be read.
    Bytes(&'r [u8]),
}

impl Letter<'_> {
    /// The line, without its end.
    pub(in crate::files) fn line(&self) -> String {
        let mut line = json!({
            "file": self.file,
            "row": self.row,
            "stage": self.stage.to_string(),
            "kind": kind(self.error.kind()),
            "error": chain(self.error),
        });
        if let Some(id) = &self.id {
            line["id"] = id.as_str().into();
        }
        match self.content {
            Content::Record(Record::Line(text)) => line["input"] = text.as_str().into(),
            Content::Record(Record::Json(text)) => {
                line["input"] = serde_json::from_str(text).unwrap_or(text.as_str().into())
            }
            Content::Record(Record::Fields(header, fields)) => {
                let fields = header.iter().cloned().zip(fields.iter().map(|field| Value::from(field.as_str())));
                line["input"] = Value::Object(fields.collect());
            }
            #[cfg(feature = "parquet")]
            Content::Record(Record::Batch(batch, row)) => {
                let schema = batch.schema();
                let values = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
                    let value = crate::files::table::json(array, *row).unwrap_or_default();
                    (field.name().clone(), serde_json::from_str(&value).unwrap_or_default())
                });
                line["input"] = Value::Object(values.collect());
            }
            Content::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                if let std::borrow::Cow::Owned(_) = text {
                    line["input_base16"] = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
                }
                line["input"] = text.into();
            }
        }
        line.to_string()
    }
}

fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Io => "io",
        ErrorKind::InvalidModel => "invalid_model",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::Limit => "limit",
        ErrorKind::User => "user",
        ErrorKind::Panic => "panic",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Device => "device",
        ErrorKind::Internal => "internal",
    }
}

/// The dead letters of a part, by the numbers of their rows.
pub(in crate::files) fn read(folder: &dyn Folder, part: &str) -> Result<BTreeMap<u64, String>> {
    let name = letters_name(part);
    let path = folder.path(&name);
    let fail = |error| reading(&path, error);
    let mut text = String::new();
    let mut file = folder.open(&name)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
    file.read_to_string(&mut text).map_err(fail)?;
    text.lines().map(|line| Ok((row(&path, line)?, line.to_owned()))).collect()
}

fn row(path: &Path, line: &str) -> Result<u64> {
    let value: Option<Value> = serde_json::from_str(line).ok();
    value
        .and_then(|value| value.get("row")?.as_u64())
        .ok_or_else(|| Error::invalid_input(format!("{} is damaged: `{line:.60}` is no dead letter", path.display())))
}
