//! The bytes of a file, decompressed as they are read.

use std::{
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use crate::{
    error::{Error, Result},
    files::inputs::Input,
};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// The largest window of zstd, as a power of two: what a decoder holds at most.
const WINDOW: u32 = 27;

/// The decompressed bytes of a file.
pub(in crate::files) struct Stream {
    inner: Box<dyn BufRead>,
    is_compressed: bool,
    /// Decompressed bytes that were consumed.
    offset: u64,
}

impl Stream {
    /// Opens a file; gzip and zstd are told by their first bytes.
    pub(in crate::files) fn open(input: &Input) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(BUFFER, input.open()?);
        let start = file.fill_buf()?;
        // A file of zstd may begin with a frame that is passed over (RFC 8878, 3.1.2).
        let is_skippable = matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        let (is_gzip, is_zstd) =
            (start.starts_with(b"\x1f\x8b"), is_skippable || start.starts_with(b"\x28\xb5\x2f\xfd"));
        let inner: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else if is_zstd {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        } else {
            Box::new(file)
        };
        Ok(Self { inner, is_compressed: is_gzip || is_zstd, offset: 0 })
    }

    pub(in crate::files) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to an offset of the decompressed bytes.
    pub(in crate::files) fn seek(&mut self, input: &Input, offset: u64) -> io::Result<()> {
        if offset < self.offset {
            *self = Self::open(input)?;
        }
        if !self.is_compressed && offset != self.offset {
            let mut file = input.open()?;
            file.seek(SeekFrom::Start(offset))?;
            self.inner = Box::new(BufReader::with_capacity(BUFFER, file));
            self.offset = offset;
        }
        let ahead = offset - self.offset;
        let skipped = io::copy(&mut self.by_ref().take(ahead), &mut io::sink())?;
        if skipped < ahead {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends before byte {offset}")));
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
        self.offset += bytes as u64;
    }
}

/// The failure to read a file.
pub(in crate::files) fn reading(path: &Path, offset: u64, error: io::Error) -> Error {
    Error::io(error, format!("reading {} after byte {offset} of its content", path.display()))
}

/// Fills the buffer, also after an interruption.
pub(in crate::files) fn fill(stream: &mut dyn BufRead) -> Result<&[u8], io::Error> {
    loop {
        match stream.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    // The buffer is filled: this reads nothing.
    stream.fill_buf()
}
