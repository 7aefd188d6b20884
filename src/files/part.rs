//! A part of the output from its first row to its place in the manifest.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
};

use crate::{
    bulk::CancelToken,
    error::{Error, Result, Stage},
    files::{
        cell::{Cell, check_cells},
        folder::{Claim, Folder, Publishing, Written, letters_name, reading},
        letters::{Content, Letter},
        manifest::Finished,
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
    pub(in crate::files) claim: Box<dyn Claim>,
    /// The finished part whose failed rows are run once more.
    pub(in crate::files) earlier: Option<Finished>,
}

/// What all parts of a job share.
#[derive(Clone, Debug)]
pub(in crate::files) struct Making {
    pub(in crate::files) folder: Arc<dyn Folder>,
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
    sink: Box<dyn Sink>,
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
        let file = taken.claim.begin(&taken.name)?;
        let sink = sink::begin(&making.shape, file).map_err(|error| taken.claim.writing(&taken.name, error))?;
        let mut old = None;
        if taken.earlier.is_some() {
            let fail = |error| reading(&making.folder.path(&taken.name), error);
            let file = making.folder.open(&taken.name)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
            old = Some(OldRows::new(file, making.shape.format).map_err(fail)?);
        }
        Ok(Self {
            making: making.clone(),
            taken,
            sink,
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

    /// Rows that failed.
    pub(in crate::files) fn failed(&self) -> u64 {
        self.failed
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
        let sink = &mut self.sink;
        let cells = result.and_then(|cells| {
            let fits = check_cells(&self.making.shape.columns, &cells);
            fits.and_then(|()| sink.encode(record, &cells)).map_err(|error| (Stage::Write, error))
        });
        match cells {
            Ok(()) => {
                if let Some(record) = record {
                    record.hash(&mut self.source);
                }
                sink.commit().map_err(|error| self.taken.claim.writing(&self.taken.name, error))?;
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
        self.sink.copy(&self.old_row).map_err(|error| self.taken.claim.writing(&self.taken.name, error))
    }

    fn next_old(&mut self) -> Result<()> {
        let place = self.making.folder.path(&self.taken.name);
        let old = self.old.as_mut().ok_or_else(|| Error::internal("rows of an earlier part that there is not"))?;
        let row = old.next(&mut self.old_row).map_err(|error| reading(&place, error))?;
        row.ok_or_else(|| Error::invalid_input(format!("{} has fewer rows than the manifest says", place.display())))
    }

    fn nulls(&mut self, record: Option<&Record>) -> Result<()> {
        let nulls = vec![Cell::Null; self.making.shape.columns.len()];
        self.sink.encode(record, &nulls)?;
        self.sink.commit().map_err(|error| self.taken.claim.writing(&self.taken.name, error))
    }

    fn letter(&mut self, waiting: &Waiting, stage: Stage, error: &Error) -> Result<()> {
        let content = match &waiting.content {
            Ok(record) => Content::Record(record),
            Err(bytes) => Content::Bytes(bytes),
        };
        let id = self.making.id.as_ref();
        let id = id.map(|column| waiting.content.as_ref().map_or(String::new(), |record| record.id(column)));
        let letter = Letter { file: &self.taken.input, row: waiting.row, id, stage, error, content };
        let (claim, name) = (&self.taken.claim, letters_name(&self.taken.name));
        let letters = match &mut self.letters {
            Some(letters) => letters,
            None => self.letters.insert(BufWriter::new(claim.begin(&name)?)),
        };
        writeln!(letters, "{}", letter.line()).map_err(|error| claim.writing(&name, error))
    }

    /// Puts the part in its place and in the manifest.
    pub(in crate::files) fn finish(self) -> Result<Publishing> {
        let Self { taken, sink, letters, written, failed, source, kept, .. } = self;
        let Taken { name, input, mut claim, earlier, .. } = taken;
        if let Some(earlier) = &earlier {
            if earlier.source_blake3 != kept.finalize().to_hex().as_str() {
                return Err(rows_changed(&input, &name));
            }
            claim.reopen()?;
        }
        let file = sink.finish().map_err(|error| claim.writing(&name, error))?;
        let letters = letters.map(BufWriter::into_inner).transpose();
        let letters = letters.map_err(|error| claim.writing(&letters_name(&name), error.into_error()))?;
        let finished = Finished {
            name,
            rows: written,
            failed,
            bytes: 0,
            blake3: String::new(),
            errors_blake3: String::new(),
            source_blake3: source.finalize().to_hex().to_string(),
        };
        claim.publish(Written { finished, file, letters })
    }
}

/// The error of a repaired input in which other rows changed too.
pub(in crate::files) fn rows_changed(input: &str, part: &str) -> Error {
    Error::invalid_input(format!(
        "{input} changed in rows of {part} that had not failed; run the job into a new folder"
    ))
}
