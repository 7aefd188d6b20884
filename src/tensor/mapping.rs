//! Read-only memory mappings of files.
#![allow(unsafe_code, reason = "memory that the system maps")]

use std::{fs::File, io};

/// A whole file mapped into memory.
///
/// Pages are read when they are first touched, and shared by all processes that map the file. The
/// file must not change while it is mapped: touching a page past the end of a truncated file kills
/// the process (`SIGBUS`), and bytes written in place show up in the numbers. A new version belongs
/// in a new file that takes the old one's name, as [`publish`](crate::bulk::hot::publish) does.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *const u8,
    len: usize,
}

// SAFETY: nothing is written through it, and the pages stay mapped until it is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of a file, which must have `len` bytes.
    pub(crate) fn of(file: &File, len: u64) -> io::Result<Self> {
        let bytes = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mapping = Self::map(file, bytes)?;
        // Checked after mapping: the file had this length when it was mapped.
        if file.metadata()?.len() != len {
            return Err(io::Error::other("the file has changed since it was opened"));
        }
        Ok(mapping)
    }

    #[cfg(unix)]
    fn map(file: &File, len: usize) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        if len == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        // SAFETY: a new mapping of an open file, at an address that the system chooses.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }

    #[cfg(not(unix))]
    fn map(_: &File, _: usize) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "files are mapped on unix only"))
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes stay mapped for reading until `self` is dropped; the type's
        // documentation requires that nobody writes to the file.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            // SAFETY: mapped by `map` with that length; all borrows of it end before `self`.
            unsafe { libc::munmap(self.start.cast_mut().cast(), self.len) };
        }
    }
}
