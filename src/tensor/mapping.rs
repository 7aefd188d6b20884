//! Files seen as memory, read only.

use std::{fs::File, io};

/// A whole file as memory: pages are read when they are first touched, and every process that maps the file shares
/// them.
///
/// The file must stay as it is while it is mapped. One that is cut short takes the process down at the next touch of
/// what is gone (`SIGBUS`), and what is written to it in place shows in the numbers; a new version belongs in a new
/// file that takes the old one's name, as [`publish`](crate::bulk::hot::publish) does.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *const u8,
    len: usize,
}

// SAFETY: nothing is ever written through it, and the pages stay until it is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the `len` bytes of a file, which must be all that it holds.
    pub(crate) fn of(file: &File, len: u64) -> io::Result<Self> {
        let bytes = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mapping = Self::map(file, bytes)?;
        // Looked at behind the mapping, so that it cannot have been shorter when it was made.
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
        // SAFETY: a new mapping, at a place that the system chooses, of a file that is open.
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

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped there for reading until this is dropped; see the type for who may write.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            // SAFETY: mapped by `map`, with that length, and not given to anybody for longer than this lives.
            unsafe { libc::munmap(self.start.cast_mut().cast(), self.len) };
        }
    }
}
