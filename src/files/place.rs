//! Where an input is: on this machine or in a store.

#[cfg(feature = "parquet")]
use std::io::BufReader;
use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::SystemTime,
};

#[cfg(feature = "parquet")]
use parquet::file::reader::{ChunkReader, Length};

#[cfg(feature = "stores")]
use crate::files::store::{Object, Ranges};

#[cfg(feature = "parquet")]
use crate::error::Result;

/// Where an input is, and what it was when the job began.
#[derive(Clone, Debug)]
pub(in crate::files) enum Place {
    Local(Stamp),
    #[cfg(feature = "stores")]
    Stored(Box<Object>),
}

/// The size and the time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) struct Stamp(u64, Option<SystemTime>);

impl Place {
    /// A file that was found on this machine.
    pub(in crate::files) fn local(found: &Metadata) -> Self {
        Self::Local(Stamp(found.len(), found.modified().ok()))
    }

    pub(in crate::files) fn open(&self, path: &Path) -> io::Result<Opened> {
        match self {
            Self::Local(_) => File::open(path).map(Opened::Local),
            #[cfg(feature = "stores")]
            Self::Stored(object) => Ok(Opened::Stored(Ranges::new(object))),
        }
    }

    /// Whether the file is what it was when the job began.
    pub(in crate::files) fn is_unchanged(&self, path: &Path) -> io::Result<bool> {
        match self {
            Self::Local(stamp) => {
                let found = fs::metadata(path)?;
                Ok(Stamp(found.len(), found.modified().ok()) == *stamp)
            }
            #[cfg(feature = "stores")]
            Self::Stored(object) => object.is_unchanged(),
        }
    }

    /// The size and the strong ETag of an input in a store that has one.
    pub(in crate::files) fn etag(&self) -> Option<(u64, &str)> {
        match self {
            Self::Local(_) => None,
            #[cfg(feature = "stores")]
            Self::Stored(object) => object.etag(),
        }
    }

    /// What a check of the whole file found, which is made once where no change can be missed.
    #[cfg(feature = "parquet")]
    pub(in crate::files) fn checked_once(&self, check: impl FnOnce() -> Result<usize>) -> Result<usize> {
        match self {
            Self::Local(_) => check(),
            #[cfg(feature = "stores")]
            Self::Stored(object) => match object.checked.get() {
                Some(&found) => Ok(found),
                None => check().inspect(|&found| _ = object.checked.set(found)),
            },
        }
    }
}

/// An open input.
pub(in crate::files) enum Opened {
    Local(File),
    #[cfg(feature = "stores")]
    Stored(Ranges),
}

impl Read for Opened {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(bytes),
            #[cfg(feature = "stores")]
            Self::Stored(ranges) => ranges.read(bytes),
        }
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Local(file) => file.seek(to),
            #[cfg(feature = "stores")]
            Self::Stored(ranges) => ranges.seek(to),
        }
    }
}

#[cfg(feature = "parquet")]
impl Length for Opened {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => Length::len(file),
            #[cfg(feature = "stores")]
            Self::Stored(ranges) => ranges.size(),
        }
    }
}

#[cfg(feature = "parquet")]
impl ChunkReader for Opened {
    type T = BufReader<Self>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut reader = match self {
            Self::Local(file) => Self::Local(file.try_clone()?),
            #[cfg(feature = "stores")]
            Self::Stored(ranges) => Self::Stored(ranges.clone()),
        };
        reader.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(reader))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            #[cfg(feature = "stores")]
            Self::Stored(ranges) => Ok(ranges.range(start, length)?),
        }
    }
}
