//! The messages of an Arrow file or stream, looked at before any of them is decoded: a small one may state a huge size.

use std::io::{self, Read, Seek, SeekFrom};

use arrow_ipc::{Message, MessageHeader, root_as_footer, root_as_message};

use crate::error::{Error, Result};

/// Bytes of the largest record batch that is unpacked.
const LARGEST: u64 = 2 << 30;
/// What stands behind the footer of a file: its length and the format's mark.
const TAIL: u64 = 10;
/// What may stand before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Refuses an input of `length` bytes whose messages go beyond its end, or are too large when they are unpacked.
pub(super) fn check(input: impl Read + Seek, length: u64, is_file: bool) -> Result<()> {
    let mut messages = Messages { input, length };
    if is_file { messages.check_file() } else { messages.check_stream() }
}

struct Messages<R> {
    input: R,
    length: u64,
}

impl<R: Read + Seek> Messages<R> {
    /// Each message that the footer names.
    fn check_file(&mut self) -> Result<()> {
        let tail = self.length.checked_sub(TAIL).ok_or_else(damaged)?;
        let length = self.number(tail)?;
        let start = tail.checked_sub(length).ok_or_else(damaged)?;
        let footer = self.bytes(start, length)?;
        let footer = root_as_footer(&footer).map_err(|_| damaged())?;
        for block in footer.dictionaries().iter().chain(&footer.recordBatches()).flatten() {
            let (start, length) = (size(block.offset())?, size(block.metaDataLength())?);
            let metadata = self.bytes(start, length)?;
            let skipped = if metadata.starts_with(&CONTINUATION) { 8 } else { 4 };
            let body = size(block.bodyLength())?;
            self.check_message(metadata.get(skipped..).ok_or_else(damaged)?, start + length, Some(body))?;
        }
        Ok(())
    }

    /// One message after another.
    fn check_stream(&mut self) -> Result<()> {
        let mut place = 0;
        while place < self.length {
            if self.bytes(place, 4)? == CONTINUATION {
                place += 4;
            }
            let length = self.number(place)?;
            if length == 0 {
                break;
            }
            let metadata = self.bytes(place + 4, length)?;
            let body = place + 4 + length;
            place = body + self.check_message(&metadata, body, None)?;
        }
        Ok(())
    }

    /// Checks the message with this metadata, whose body begins at `start`; returns the length of the body.
    fn check_message(&mut self, metadata: &[u8], start: u64, stated: Option<u64>) -> Result<u64> {
        let message = root_as_message(metadata).map_err(|_| damaged())?;
        let body = size(message.bodyLength())?;
        for length in [body, stated.unwrap_or(body)] {
            self.inside(start, length)?;
        }
        let unpacked = self.unpacked(&message, start)?;
        if unpacked > LARGEST {
            let message =
                format!("a record batch of {unpacked} bytes, unpacked; the limit is {LARGEST}: write smaller ones");
            return Err(Error::limit(message));
        }
        Ok(body)
    }

    /// The bytes that the buffers of a compressed batch say that they unpack to; 0 for one that is not compressed.
    fn unpacked(&mut self, message: &Message<'_>, start: u64) -> Result<u64> {
        let batch = match message.header_type() {
            MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
            _ => message.header_as_record_batch(),
        };
        let Some(batch) = batch.filter(|batch| batch.compression().is_some()) else { return Ok(0) };
        let mut sum = 0u64;
        for buffer in batch.buffers().iter().flatten().filter(|buffer| buffer.length() > 0) {
            let place = start.checked_add(size(buffer.offset())?).ok_or_else(damaged)?;
            let stated = i64::from_le_bytes(self.bytes(place, 8)?.try_into().map_err(|_| damaged())?);
            // A buffer that did not become smaller has a mark in place of its size, and is no larger than the input.
            sum = sum.saturating_add(if stated == -1 { 0 } else { size(stated)? });
        }
        Ok(sum)
    }

    /// The length that stands at a place.
    fn number(&mut self, place: u64) -> Result<u64> {
        size(i32::from_le_bytes(self.bytes(place, 4)?.try_into().map_err(|_| damaged())?))
    }

    fn bytes(&mut self, start: u64, length: u64) -> Result<Vec<u8>> {
        self.inside(start, length)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        let read = self.input.seek(SeekFrom::Start(start)).and_then(|_| self.input.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(damaged()),
            Err(error) => Err(Error::io(error, "reading it")),
        }
    }

    fn inside(&self, start: u64, length: u64) -> Result<()> {
        match start.checked_add(length).is_some_and(|end| end <= self.length) {
            true => Ok(()),
            false => Err(damaged()),
        }
    }
}

/// A number that must not be negative.
fn size(number: impl Into<i64>) -> Result<u64> {
    u64::try_from(number.into()).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::invalid_input("its messages are damaged, or it ends early")
}
