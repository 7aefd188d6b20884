//! Text cut into rows: lines, or records of separated values, none longer than a limit.

use std::{
    io::{self, BufRead},
    sync::Arc,
};

use csv_core::ReadRecordResult;

use crate::{
    error::{Error, Result},
    files::{
        cell::repeated,
        letters::EXCERPT,
        record::Record,
        source::{Reading, stream::fill},
    },
};

/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The most columns of separated values.
const MOST_COLUMNS: usize = 4096;

/// Cuts a stream into rows.
pub(in crate::files) enum Splitter {
    Lines { is_json: bool, line: Vec<u8> },
    Fields(Box<Fields>),
}

/// Records of separated values.
pub(in crate::files) struct Fields {
    core: csv_core::Reader,
    header: Arc<[String]>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    /// For lines.
    pub(in crate::files) fn lines(is_json: bool) -> Self {
        Self::Lines { is_json, line: Vec::new() }
    }

    /// For values that are separated so, below a header that is read here.
    pub(in crate::files) fn fields(
        separator: u8,
        stream: &mut dyn BufRead,
        longest: usize,
    ) -> io::Result<Result<Self>> {
        let mut fields = Fields::new(separator);
        let bad = |what: &str| Ok(Err(Error::invalid_input(format!("the line of names at the start {what}"))));
        if fill(stream)?.starts_with(MARK) {
            stream.consume(MARK.len());
        }
        let header = match fields.next(stream, longest, MOST_COLUMNS)? {
            None => return bad("is missing"),
            Some(Err(error)) => return bad(&format!("cannot be read: {error}")),
            Some(Ok(())) => fields.fields(),
        };
        let Ok(header) = header else { return bad("is not UTF-8") };
        if let Some(name) = repeated(&header) {
            return bad(&format!("has the name `{name}` twice"));
        }
        fields.header = header.into();
        Ok(Ok(Self::Fields(Box::new(fields))))
    }

    /// The names of the columns, where there is a line of names.
    pub(in crate::files) fn header(&self) -> Vec<String> {
        match self {
            Self::Lines { .. } => Vec::new(),
            Self::Fields(fields) => fields.header.to_vec(),
        }
    }

    /// Reads from another place, where a row begins.
    pub(in crate::files) fn restart(&mut self) {
        if let Self::Fields(fields) = self {
            fields.core.reset();
            // At the start of its input it would take a byte order mark away from the row; an empty line is no row.
            let _ = fields.core.read_record(b"\n", &mut [0], &mut [0]);
        }
    }

    /// Passes over a row; false at the end.
    pub(in crate::files) fn skip(&mut self, stream: &mut dyn BufRead, longest: usize) -> io::Result<bool> {
        match self {
            Self::Lines { is_json, line } => Ok(next_row(stream, line, longest, false, *is_json)?.is_some()),
            Self::Fields(fields) => {
                let columns = fields.header.len();
                Ok(fields.next(stream, longest, columns)?.is_some())
            }
        }
    }

    /// The next row; `is_first` if it is the first of a file.
    pub(in crate::files) fn next(
        &mut self,
        stream: &mut dyn BufRead,
        longest: usize,
        is_first: bool,
    ) -> io::Result<Option<Reading>> {
        match self {
            Self::Lines { is_json, line } => {
                let Some(length) = next_row(stream, line, longest, is_first, *is_json)? else { return Ok(None) };
                if length > longest {
                    return Ok(Some(Reading::Bad(too_long(length, longest), line.clone())));
                }
                Ok(Some(match (str::from_utf8(line), *is_json) {
                    (Ok(text), false) => Reading::Row(Record::Line(text.to_owned())),
                    (Ok(text), true) => Reading::Row(Record::Json(text.to_owned())),
                    (Err(error), _) => Reading::Bad(not_utf8(error.valid_up_to()), line.clone()),
                }))
            }
            Self::Fields(fields) => {
                let columns = fields.header.len();
                Ok(Some(match fields.next(stream, longest, columns)? {
                    None => return Ok(None),
                    Some(Err(error)) => Reading::Bad(error, fields.excerpt()),
                    Some(Ok(())) if fields.ends.len() != columns => {
                        let count = fields.ends.len();
                        Reading::Bad(Error::invalid_input(format!("{count} fields, not {columns}")), fields.excerpt())
                    }
                    Some(Ok(())) => match fields.fields() {
                        Ok(values) => Reading::Row(Record::Fields(fields.header.clone(), values)),
                        Err(place) => Reading::Bad(not_utf8(place), fields.excerpt()),
                    },
                }))
            }
        }
    }
}

/// Reads a line, of JSON the next that is not blank; returns its bytes, `None` at the end of the stream.
fn next_row(
    stream: &mut dyn BufRead,
    line: &mut Vec<u8>,
    longest: usize,
    is_first: bool,
    is_json: bool,
) -> io::Result<Option<usize>> {
    loop {
        let length = next_line(stream, line, longest, is_first)?;
        let is_blank = || line.strip_prefix(MARK).unwrap_or(line).trim_ascii().is_empty();
        if !is_json || length.is_none_or(|length| length > longest) || !is_blank() {
            return Ok(length);
        }
    }
}

/// Reads a line without its end; returns its bytes, `None` at the end of the stream.
///
/// Of a line longer than `longest` only the start is kept.
fn next_line(
    stream: &mut dyn BufRead,
    line: &mut Vec<u8>,
    longest: usize,
    is_first: bool,
) -> io::Result<Option<usize>> {
    line.clear();
    let (mut length, mut ended) = (0, false);
    while !ended {
        let piece = fill(stream)?;
        match (piece.is_empty(), length) {
            (true, 0) => return Ok(None),
            (true, _) => break,
            _ => {}
        }
        let end = memchr::memchr(b'\n', piece);
        let piece = &piece[..end.map_or(piece.len(), |end| end + 1)];
        if length <= longest + 2 {
            line.extend_from_slice(piece);
        }
        (length, ended) = (length + piece.len(), end.is_some());
        let used = piece.len();
        stream.consume(used);
        if length > longest + 2 {
            line.truncate(EXCERPT);
        }
    }
    if is_first && line.starts_with(MARK) {
        line.drain(..MARK.len());
        length -= MARK.len();
    }
    // A lone `\r` at the very end of the stream belongs to the text.
    let end = if ended && line.ends_with(b"\r\n") { 2 } else { usize::from(ended) };
    if length - end > longest {
        line.truncate(EXCERPT);
    } else {
        line.truncate(length - end);
    }
    Ok(Some(length - end))
}

impl Fields {
    fn new(separator: u8) -> Self {
        let core = csv_core::ReaderBuilder::new().delimiter(separator).build();
        Self { core, header: Arc::default(), bytes: Vec::new(), ends: Vec::new() }
    }

    /// Reads a record into `bytes` and `ends`; `None` at the end of the stream.
    fn next(&mut self, stream: &mut dyn BufRead, longest: usize, columns: usize) -> io::Result<Option<Result<()>>> {
        let (mut written, mut ended, mut dropped) = (0, 0, 0);
        let (mut excerpt, mut too_many) = (None, false);
        // Behind the last line stands the end of one: within quotes alone it becomes part of the record.
        let (mut is_ended, mut is_open) = (false, false);
        self.ends.resize(columns + 1, 0);
        loop {
            let piece = fill(stream)?;
            let is_end = piece.is_empty() && !is_ended;
            let (state, read, wrote, ends) = self.core.read_record(
                if is_end { b"\n" } else { piece },
                &mut self.bytes[written..],
                &mut self.ends[ended..],
            );
            if is_end {
                (is_ended, is_open) = (read > 0, wrote > 0);
            } else {
                stream.consume(read);
            }
            (written, ended) = (written + wrote, ended + ends);
            match state {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if written < longest.max(EXCERPT) => {
                    let larger = (2 * written).clamp(EXCERPT, longest.max(EXCERPT));
                    self.bytes.resize(larger, 0);
                }
                // Too long: what follows is read over what is there.
                ReadRecordResult::OutputFull => {
                    excerpt.get_or_insert_with(|| self.bytes[..EXCERPT.min(written)].to_vec());
                    (dropped, written) = (dropped + written, 0);
                }
                ReadRecordResult::OutputEndsFull => (too_many, ended) = (true, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        self.ends.truncate(ended);
        let length = dropped + written - usize::from(is_open);
        let is_long = excerpt.is_some();
        if let Some(excerpt) = excerpt {
            self.bytes[..excerpt.len()].copy_from_slice(&excerpt);
            self.ends = vec![excerpt.len()];
        }
        if is_open {
            self.ends = vec![length.min(EXCERPT)];
            let message = format!("a quote that is never closed takes the rest of the file, {length} bytes");
            return Ok(Some(Err(Error::invalid_input(message))));
        }
        if is_long {
            return Ok(Some(Err(too_long(length, longest))));
        }
        if too_many {
            self.ends = vec![written];
            return Ok(Some(Err(Error::invalid_input(format!("more than {columns} fields")))));
        }
        Ok(Some(match length > longest {
            true => Err(too_long(length, longest)),
            false => Ok(()),
        }))
    }

    /// The fields of the record, or the place of what is not UTF-8.
    fn fields(&self) -> Result<Vec<String>, usize> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let field = |(start, &end): (usize, &usize)| {
            let text = str::from_utf8(&self.bytes[start..end]).map_err(|error| start + error.valid_up_to())?;
            Ok(text.to_owned())
        };
        starts.zip(&self.ends).map(field).collect()
    }

    fn excerpt(&self) -> Vec<u8> {
        let end = self.ends.last().copied().unwrap_or(0).min(self.bytes.len());
        self.bytes[..end].to_vec()
    }
}

fn too_long(length: usize, longest: usize) -> Error {
    Error::limit(format!("the row has {length} bytes; the limit is {longest}"))
}

fn not_utf8(place: usize) -> Error {
    Error::invalid_input(format!("not UTF-8, at byte {place} of the row"))
}
