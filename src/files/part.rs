//! A part of the output from its first row to its place in the manifest.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use crate::{
    bulk::CancelToken,
    error::{Error, Result, Stage},
    files::{
        cell::{Cell, check_cells},
        folder::{Folder, Lock, hash_file, writing},
        letters::{Content, Letter},
        manifest::{Finished, Manifest},
        record::Record,
        sink::{self, OldRows, Shape, Sink},
    },
};

/// A row as it waits for its result.
#[derive(Debug)]
pub(in crate::files) struct Waiting {
    /// Its number in the input, from 0.
    pub(in crate::files) row: u64,
    /// The row, or the bytes of one that could not be read.
    pub(in crate::files) content: Result<Record, Vec<u8>>,
    /// Whether its columns can be written.
    pub(in crate::files) has_columns: bool,
}

/// A shard that this process has taken.
#[derive(Debug)]
pub(in crate::files) struct Taken {
    pub(in crate::files) name: String,
    /// The name of its input.
    pub(in crate::files) input: String,
    pub(in crate::files) rows: u64,
    /// Kept until the part is in the manifest.
    pub(in crate::files) _lock: Lock,
    /// The finished part whose failed rows are run once more.
    pub(in crate::files) earlier: Option<Finished>,
}

/// What all parts of a job share.
#[derive(Clone, Debug)]
pub(in crate::files) struct Making {
    pub(in crate::files) folder: Folder,
    pub(in crate::files) shape: Shape,
    /// Whether a failed row is left out, instead of having nulls.
    pub(in crate::files) leaves_out: bool,
    pub(in crate::files) id: Option<String>,
    pub(in crate::files) cancel: CancelToken,
}

/// A part under construction; dropped before its end it leaves nothing.
pub(in crate::files) struct Part {
    making: Making,
    taken: Taken,
    place: PathBuf,
    sink: Option<Box<dyn Sink>>,
    letters: Option<BufWriter<File>>,
    old: Option<OldRows>,
    old_row: Vec<u8>,
    written: u64,
    failed: u64,
    source: blake3::Hasher,
    /// The rows that did not fail before.
    kept: blake3::Hasher,
}

impl Part {
    pub(in crate::files) fn begin(making: &Making, taken: Taken) -> Result<Self> {
        let place = making.folder.part(&taken.name);
        let file = making.folder.begin(&place)?;
        let sink = sink::begin(&making.shape, file).map_err(|error| writing(&place, error))?;
        let old = taken.earlier.as_ref().map(|_| OldRows::open(&place, making.shape.format)).transpose();
        let old = old.map_err(|error| Error::io(error, format!("reading {}", place.display())))?;
        Ok(Self {
            making: making.clone(),
            taken,
            place,
            sink: Some(sink),
            letters: None,
            old,
            old_row: Vec::new(),
            written: 0,
            failed: 0,
            source: blake3::Hasher::new(),
            kept: blake3::Hasher::new(),
        })
    }

    /// Whether all rows of the shard are written.
    pub(in crate::files) fn is_full(&self) -> bool {
        self.written == self.taken.rows
    }

    /// The failed rows of the earlier part, if there is one.
    pub(in crate::files) fn retries(&self) -> Option<u64> {
        self.taken.earlier.as_ref().map(|part| part.failed)
    }

    /// Writes a row with its values, or why it failed; returns that.
    pub(in crate::files) fn add(
        &mut self,
        waiting: &Waiting,
        result: Result<Vec<Cell>, (Stage, Error)>,
    ) -> Result<Option<(Stage, Error)>> {
        if self.making.leaves_out {
            // The earlier part has no row for one that failed.
        } else if self.old.is_some() {
            self.next_old()?;
        }
        self.written += 1;
        let record = waiting.content.as_ref().ok().filter(|_| waiting.has_columns);
        let sink = self.sink.as_mut().ok_or_else(ended)?;
        let cells = result.and_then(|cells| {
            let fits = check_cells(&self.making.shape.columns, &cells);
            fits.and_then(|()| sink.encode(record, &cells)).map_err(|error| (Stage::Write, error))
        });
        match cells {
            Ok(()) => {
                if let Some(record) = record {
                    record.hash(&mut self.source);
                }
                sink.commit().map_err(|error| writing(&self.place, error))?;
                Ok(None)
            }
            Err((stage, error)) => {
                self.failed += 1;
                self.letter(waiting, stage, &error)?;
                if !self.making.leaves_out {
                    self.nulls(record)?;
                }
                Ok(Some((stage, error)))
            }
        }
    }

    /// Writes a row as the earlier part has it.
    pub(in crate::files) fn keep(&mut self, record: &Record) -> Result<()> {
        self.next_old()?;
        self.written += 1;
        record.hash(&mut self.source);
        record.hash(&mut self.kept);
        let sink = self.sink.as_mut().ok_or_else(ended)?;
        sink.copy(&self.old_row).map_err(|error| writing(&self.place, error))
    }

    fn next_old(&mut self) -> Result<()> {
        let place = &self.place;
        let old = self.old.as_mut().ok_or_else(ended)?;
        let row =
            old.next(&mut self.old_row).map_err(|error| Error::io(error, format!("reading {}", place.display())))?;
        row.ok_or_else(|| Error::invalid_input(format!("{} has fewer rows than the manifest says", place.display())))
    }

    fn nulls(&mut self, record: Option<&Record>) -> Result<()> {
        let nulls = vec![Cell::Null; self.making.shape.columns.len()];
        let sink = self.sink.as_mut().ok_or_else(ended)?;
        sink.encode(record, &nulls)?;
        sink.commit().map_err(|error| writing(&self.place, error))
    }

    fn letter(&mut self, waiting: &Waiting, stage: Stage, error: &Error) -> Result<()> {
        let content = match &waiting.content {
            Ok(record) => Content::Record(record),
            Err(bytes) => Content::Bytes(bytes),
        };
        let id = self.making.id.as_ref();
        let id = id.map(|column| waiting.content.as_ref().map_or(String::new(), |record| record.id(column)));
        let letter = Letter { file: &self.taken.input, row: waiting.row, id, stage, error, content };
        let place = self.making.folder.letters(&self.taken.name);
        if self.letters.is_none() {
            self.letters = Some(BufWriter::new(self.making.folder.begin(&place)?));
        }
        match &mut self.letters {
            Some(letters) => writeln!(letters, "{}", letter.line()).map_err(|error| writing(&place, error)),
            None => Ok(()),
        }
    }

    /// Puts the part in its place and in the manifest.
    pub(in crate::files) fn finish(mut self) -> Result<Finished> {
        let Making { folder, cancel, .. } = self.making.clone();
        let kept = self.kept.finalize().to_hex();
        if let Some(earlier) = &self.taken.earlier {
            if earlier.source_blake3 != kept.as_str() {
                return Err(rows_changed(&self.taken.input, &self.taken.name));
            }
            let lock = folder.lock(&cancel)?;
            Manifest::reopen(&folder, &lock, &self.taken.name)?;
        }
        let sink = self.sink.take().ok_or_else(ended)?;
        let file = sink.finish().map_err(|error| writing(&self.place, error))?;
        let place = folder.letters(&self.taken.name);
        let mut errors_blake3 = String::new();
        if let Some(letters) = self.letters.take() {
            let letters = letters.into_inner().map_err(|error| writing(&place, error.into_error()))?;
            folder.publish(&letters, &place)?;
            errors_blake3 = hash_file(&place, &CancelToken::new())?.1;
        } else if let Err(error) = fs::remove_file(&place)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(writing(&place, error));
        }
        folder.publish(&file, &self.place)?;
        // Read back, so that the manifest states what is in the file.
        let (bytes, blake3) = hash_file(&self.place, &CancelToken::new())?;
        let finished = Finished {
            name: self.taken.name.clone(),
            rows: self.written,
            failed: self.failed,
            bytes,
            blake3,
            errors_blake3,
            source_blake3: self.source.finalize().to_hex().to_string(),
        };
        let lock = folder.lock(&CancelToken::new())?;
        Manifest::add(&folder, &lock, finished.clone())?;
        Ok(finished)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let folder = &self.making.folder;
        folder.drop_begun(&self.place);
        folder.drop_begun(&folder.letters(&self.taken.name));
    }
}

/// The error of a repaired input in which other rows changed too.
pub(in crate::files) fn rows_changed(input: &str, part: &str) -> Error {
    Error::invalid_input(format!(
        "{input} changed in rows of {part} that had not failed; run the job into a new folder"
    ))
}

fn ended() -> Error {
    Error::internal("a part of a job is written after its end")
}
