//! Inputs of text: plain lines, lines of JSON, separated values.

use crate::{
    bulk::CancelToken,
    error::{Context as _, Error, ErrorKind, Result},
    files::{
        format::Format,
        inputs::Input,
        plan::{MOST_SHARDS, Shard},
        source::{
            Cut, Reader, Reading,
            split::Splitter,
            stream::{Stream, reading},
            too_many_shards,
        },
    },
};

/// Bytes of text after which a shard ends, whatever its rows are.
const SHARD_BYTES: u64 = 64 << 20;

/// The rows of an input of text.
pub(in crate::files) struct TextReader {
    input: Input,
    stream: Stream,
    splitter: Splitter,
    longest: usize,
    row: u64,
}

impl TextReader {
    pub(in crate::files) fn open(input: &Input, longest: usize) -> Result<Self> {
        let fail = |error| reading(&input.path, 0, error);
        let mut stream = Stream::open(input).map_err(fail)?;
        let splitter = match input.format {
            Format::Csv => Splitter::fields(b',', &mut stream, longest).map_err(fail)?,
            Format::Tsv => Splitter::fields(b'\t', &mut stream, longest).map_err(fail)?,
            format => Ok(Splitter::lines(format == Format::Jsonl)),
        };
        let splitter = splitter.context(|| input.path.display().to_string())?;
        Ok(Self { input: input.clone(), stream, splitter, longest, row: 0 })
    }
}

impl TextReader {
    /// The names of the columns.
    pub(in crate::files) fn header(&self) -> Vec<String> {
        self.splitter.header()
    }
}

impl Reader for TextReader {
    fn seek(&mut self, shard: &Shard) -> Result<()> {
        if (self.row, self.stream.offset()) != (shard.first, shard.from) {
            let offset = self.stream.offset();
            self.stream.seek(&self.input, shard.from).map_err(|error| reading(&self.input.path, offset, error))?;
            self.splitter.restart();
            self.row = shard.first;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Reading>> {
        let row = self.splitter.next(&mut self.stream, self.longest, self.row == 0);
        self.row += 1;
        row.map_err(|error| reading(&self.input.path, self.stream.offset(), error))
    }
}

/// Cuts an input of text: after so many rows, or after a shard's bytes.
pub(in crate::files) fn cut(input: &Input, index: usize, cut: Cut, cancel: &CancelToken) -> Result<Vec<Shard>> {
    let mut reader = TextReader::open(input, cut.longest)?;
    let start = |first, from| Shard { name: String::new(), input: index, first, rows: 0, from };
    let (mut shards, mut shard) = (Vec::new(), start(0, reader.stream.offset()));
    loop {
        let more = reader.splitter.skip(&mut reader.stream, cut.longest);
        let offset = reader.stream.offset();
        let more = more.map_err(|error| reading(&reader.input.path, offset, error))?;
        shard.rows += u64::from(more);
        let is_full = shard.rows == cut.rows || offset - shard.from >= SHARD_BYTES;
        if shard.rows > 0 && (is_full || !more) {
            if shards.len() == MOST_SHARDS {
                return Err(too_many_shards(input));
            }
            let next = start(shard.first + shard.rows, offset);
            shards.push(std::mem::replace(&mut shard, next));
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
            }
        }
        if !more {
            return Ok(shards);
        }
    }
}
