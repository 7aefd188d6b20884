//! The manifest of a folder on this machine: a line for each part that was finished or taken back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
};

use crate::{
    bulk::CancelToken,
    error::Result,
    files::{
        folder::{Folder, Lock, MANIFEST, local::LocalFolder, reading, writing},
        json,
        manifest::{self, Line, Log, Parts},
    },
};

/// How far the manifest has been read.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    folder: LocalFolder,
    /// Bytes that have been read.
    offset: u64,
    /// The last line of them, by which a manifest is known that was put in order meanwhile.
    last: Vec<u8>,
    /// The number of the file, where the system has one: a manifest that is put in order is a new file, in which lines of
    /// equal lengths may leave the last one in its place.
    number: Option<u64>,
}

impl Lines {
    pub(super) fn new(folder: &LocalFolder) -> Self {
        Self { folder: folder.clone(), offset: 0, last: Vec::new(), number: None }
    }

    fn start(&mut self, finished: &mut Parts, number: Option<u64>) {
        finished.clear();
        *self = Self { number, ..Self::new(&self.folder) };
    }
}

impl Log for Lines {
    /// A last line that a killed process left unfinished does not count.
    fn read(&mut self, finished: &mut Parts) -> Result<()> {
        let path = self.folder.path(MANIFEST);
        let fail = |error| reading(&path, error);
        let Some(mut file) = self.folder.open(MANIFEST)? else { return Ok(()) };
        let number = number(&file).map_err(fail)?;
        if self.number != number {
            self.start(finished, number);
        }
        if self.offset > 0 {
            let mut last = vec![0; self.last.len()];
            let start = self.offset - self.last.len() as u64;
            let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut last));
            if read.is_err() || last != self.last {
                self.start(finished, number);
            }
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.offset)).and_then(|_| file.read_to_end(&mut text)).map_err(fail)?;
        let text = whole(&text);
        manifest::read_lines(text, &path, finished)?;
        self.offset += text.len() as u64;
        if let Some(end) = text.len().checked_sub(1) {
            let start = text[..end].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            self.last = text[start..].to_vec();
        }
        Ok(())
    }

    fn check(&mut self, lock: Option<&Lock>, finished: &mut Parts) -> Result<()> {
        for part in finished.values() {
            let found = fs::metadata(self.folder.path(&part.name)).map(|found| found.len());
            if found.ok() != Some(part.bytes)
                && let Some(lock) = lock
            {
                append(&self.folder, lock, &Line::Reopened { reopened: part.name.clone() })?;
            }
        }
        self.read(finished)
    }

    fn complete(&mut self, finished: &mut Parts) -> Result<()> {
        let lock = self.folder.wait_for_lock(&CancelToken::new())?;
        let text = manifest::lines(finished)?;
        match fs::read(self.folder.path(MANIFEST)) {
            Ok(now) if now == text.as_bytes() => {}
            _ => self.folder.replace(MANIFEST, text.as_bytes())?,
        }
        drop(lock);
        self.folder.tidy();
        Ok(())
    }
}

#[cfg(unix)]
fn number(file: &File) -> io::Result<Option<u64>> {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().map(|found| Some(found.ino()))
}

#[cfg(not(unix))]
fn number(_: &File) -> io::Result<Option<u64>> {
    Ok(None)
}

/// The lines that are whole.
fn whole(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)]
}

/// Adds a line.
pub(super) fn append(folder: &LocalFolder, _: &Lock, line: &Line) -> Result<()> {
    let place = folder.path(MANIFEST);
    let text = json::line(line)? + "\n";
    let append = || {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&place)?;
        // A process that was killed may have left a part of a line.
        let (mut end, mut last) = (file.seek(SeekFrom::End(0))?, [b'\n']);
        if end > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            end = whole(&fs::read(&place)?).len() as u64;
        }
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    append().map_err(|error| writing(&place, error))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::files::manifest::{Finished, Manifest};

    /// A line of a length that all names have in common.
    fn finished(name: &str) -> Line {
        let hash = String::new;
        Line::Finished(Finished {
            name: name.to_owned(),
            rows: 1,
            failed: 0,
            bytes: 1,
            blake3: hash(),
            errors_blake3: hash(),
            source_blake3: hash(),
        })
    }

    #[test]
    fn a_manifest_that_was_put_in_order_is_read_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = LocalFolder::new(&root.path().join("job"), &CancelToken::new());
        let add = |name| {
            let lock = folder.wait_for_lock(&CancelToken::new()).unwrap();
            append(&folder, &lock, &finished(name)).unwrap();
        };
        ["a", "d", "c"].into_iter().for_each(add);
        let mut reader = Manifest::read(Lines::new(&folder)).unwrap();
        add("b");
        // In order `c` stays the third line, and `b`, which was not read, comes before it.
        Manifest::read(Lines::new(&folder)).unwrap().complete().unwrap();
        reader.refresh().unwrap();
        assert_eq!(reader.finished.into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}
