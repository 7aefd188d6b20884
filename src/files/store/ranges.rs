//! An object as a file: read in ranges, none of which is large.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::files::store::object::Object;

/// Bytes that are asked for after a jump.
const LEAST: u64 = 1 << 16;

/// Bytes that are asked for at once, at most; reads that follow one another come to it by doubling.
const MOST: u64 = 4 << 20;

/// Reads an object. Clones share the last window that one of them read.
#[derive(Clone)]
pub(in crate::files) struct Ranges {
    object: Object,
    position: u64,
    window: Window,
    /// Bytes to ask for next.
    ask: u64,
    last: Arc<Mutex<Window>>,
}

/// Bytes of an object.
#[derive(Clone, Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Its bytes from a position on.
    fn from(&self, position: u64) -> Option<Bytes> {
        let is_in = (self.start..self.end()).contains(&position);
        is_in.then(|| self.bytes.slice((position - self.start) as usize..))
    }
}

impl Ranges {
    pub(in crate::files) fn new(object: &Object) -> Self {
        Self { object: object.clone(), position: 0, window: Window::default(), ask: LEAST, last: Arc::default() }
    }

    pub(in crate::files) fn size(&self) -> u64 {
        self.object.size()
    }

    /// The bytes from a position below the size on, at least one of them.
    fn fill(&mut self) -> io::Result<Bytes> {
        if let Some(bytes) = self.window.from(self.position) {
            return Ok(bytes);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = last.from(self.position) {
            self.window = last.clone();
            return Ok(bytes);
        }
        let follows = self.position == self.window.end() && !self.window.bytes.is_empty();
        self.ask = if follows { (2 * self.ask).min(MOST) } else { LEAST };
        let end = self.position.saturating_add(self.ask).min(self.size());
        let bytes = self.object.fetch(self.position..end)?;
        self.window = Window { start: self.position, bytes: bytes.clone() };
        *last = self.window.clone();
        Ok(bytes)
    }

    /// All bytes of a range.
    #[cfg(feature = "parquet")]
    pub(in crate::files) fn range(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.size());
        let end =
            end.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "a range beyond the end of the file"))?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bytes) = last.from(start).filter(|bytes| bytes.len() >= length) {
            return Ok(bytes.slice(..length));
        }
        if length as u64 <= MOST && length > 0 {
            return self.object.fetch(start..end);
        }
        let (mut bytes, mut place) = (Vec::with_capacity(length), start);
        while place < end {
            let piece = self.object.fetch(place..end.min(place + MOST))?;
            place += piece.len() as u64;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }
}

impl Read for Ranges {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size() || bytes.is_empty() {
            return Ok(0);
        }
        let window = self.fill()?;
        let count = window.len().min(bytes.len());
        bytes[..count].copy_from_slice(&window[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Ranges {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let position =
            position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the start"))?;
        self.position = position;
        Ok(position)
    }
}
