//! Files without a name in the system's temporary folder, which end with their process.

use std::{
    env,
    fs::{File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
};

/// Makes a file that is removed when it is closed, and when its process dies.
pub(in crate::files) fn scratch() -> io::Result<File> {
    let mut error = None;
    for _ in 0..8 {
        let path = env::temp_dir().join(format!("gristmill-{}.part", nonce()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        private(&mut options);
        match options.open(&path) {
            Ok(file) => {
                #[cfg(unix)]
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(other) if other.kind() == io::ErrorKind::AlreadyExists => error = Some(other),
            Err(other) => return Err(in_folder(&other)),
        }
    }
    Err(error.map_or_else(|| io::Error::other("no name is free"), |error| in_folder(&error)))
}

/// An error of a scratch file, which has no name that would tell where it is.
pub(in crate::files) fn in_folder(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{error}, in the temporary folder {}", env::temp_dir().display()))
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(windows)]
fn private(options: &mut OpenOptions) {
    use std::os::windows::fs::OpenOptionsExt as _;
    const READ_WRITE_DELETE: u32 = 0x8000_0000 | 0x4000_0000 | 0x0001_0000;
    const DELETE_ON_CLOSE: u32 = 0x0400_0000;
    options.access_mode(READ_WRITE_DELETE).custom_flags(DELETE_ON_CLOSE);
}

#[cfg(not(any(unix, windows)))]
fn private(_: &mut OpenOptions) {}

/// A number that no other process or call has.
pub(in crate::files) fn nonce() -> String {
    // Each `RandomState` has keys of its own, from the system's source of random numbers.
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_scratch_file_has_no_name_and_keeps_its_bytes() {
        let mut file = scratch().unwrap();
        let own = std::os::unix::fs::MetadataExt::nlink(&file.metadata().unwrap());
        assert_eq!(own, 0);
        file.write_all(b"bytes").unwrap();
        file.rewind().unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "bytes");
        assert_ne!(nonce(), nonce());
    }
}
