//! What is finished of a job, a line a part.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    files::{
        folder::{Folder, Lock, writing},
        json,
        plan::Plan,
    },
};

/// A finished part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::files) struct Finished {
    pub(in crate::files) name: String,
    /// Rows of the shard, failed ones included.
    pub(in crate::files) rows: u64,
    pub(in crate::files) failed: u64,
    pub(in crate::files) bytes: u64,
    pub(in crate::files) blake3: String,
    /// The hash of the dead letters; empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::files) errors_blake3: String,
    /// The hash of the rows of the input that did not fail.
    pub(in crate::files) source_blake3: String,
}

/// A line: a part is finished, or is to be made once more.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Finished(Finished),
    Reopened { reopened: String },
}

/// The finished parts of a job, by name.
#[derive(Clone, Debug, Default)]
pub(in crate::files) struct Manifest {
    pub(in crate::files) finished: BTreeMap<String, Finished>,
    /// Bytes that have been read.
    offset: u64,
    /// The last line of them, by which a manifest is known that was put in order meanwhile.
    last: Vec<u8>,
    /// The number of the file, where the system has one: a manifest that is put in order is a new file, in which lines of
    /// equal lengths may leave the last one in its place.
    number: Option<u64>,
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

impl Manifest {
    /// Reads the manifest of a folder; a last line that a killed process left unfinished does not count.
    pub(in crate::files) fn read(folder: &Folder) -> Result<Self> {
        let mut manifest = Self::default();
        manifest.refresh(folder)?;
        Ok(manifest)
    }

    /// Reads what was added since.
    pub(in crate::files) fn refresh(&mut self, folder: &Folder) -> Result<()> {
        let path = folder.manifest();
        let fail = |error| Error::io(error, format!("reading {}", path.display()));
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fail(error)),
        };
        let number = number(&file).map_err(fail)?;
        if self.number != number {
            *self = Self { number, ..Self::default() };
        }
        if self.offset > 0 {
            let mut last = vec![0; self.last.len()];
            let start = self.offset - self.last.len() as u64;
            let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut last));
            if read.is_err() || last != self.last {
                *self = Self { number, ..Self::default() };
            }
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.offset)).and_then(|_| file.read_to_end(&mut text)).map_err(fail)?;
        let text = whole(&text);
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line = serde_json::from_slice(line).map_err(|error| {
                let (path, line) = (path.display(), String::from_utf8_lossy(line));
                Error::invalid_input(format!(
                    "{path} is damaged: {error} in `{line:.60}`; run the job into a new folder"
                ))
            })?;
            match line {
                Line::Finished(part) => drop(self.finished.insert(part.name.clone(), part)),
                Line::Reopened { reopened } => drop(self.finished.remove(&reopened)),
            }
        }
        self.offset += text.len() as u64;
        if let Some(end) = text.len().checked_sub(1) {
            let start = text[..end].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            self.last = text[start..].to_vec();
        }
        Ok(())
    }

    /// Adds a finished part.
    pub(in crate::files) fn add(folder: &Folder, lock: &Lock, part: Finished) -> Result<()> {
        append(folder, lock, &Line::Finished(part))
    }

    /// Takes a part back before it is made once more.
    pub(in crate::files) fn reopen(folder: &Folder, lock: &Lock, name: &str) -> Result<()> {
        append(folder, lock, &Line::Reopened { reopened: name.to_owned() })
    }

    /// Whether every shard is finished.
    pub(in crate::files) fn is_complete(&self, plan: &Plan) -> bool {
        plan.shards.iter().all(|shard| self.finished.contains_key(&shard.name))
    }

    pub(in crate::files) fn failed(&self) -> u64 {
        self.finished.values().map(|part| part.failed).sum()
    }

    /// Writes the manifest whole, a line a part in order.
    pub(in crate::files) fn write(&self, folder: &Folder, _: &Lock) -> Result<()> {
        let mut text = String::new();
        for part in self.finished.values() {
            text += &(json::line(part)? + "\n");
        }
        let place = folder.manifest();
        match fs::read(&place) {
            Ok(now) if now == text.as_bytes() => Ok(()),
            _ => folder.replace(&place, text.as_bytes()),
        }
    }
}

/// The lines that are whole.
fn whole(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)]
}

fn append(folder: &Folder, _: &Lock, line: &Line) -> Result<()> {
    let place = folder.manifest();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of a length that all names have in common.
    fn finished(name: &str) -> Finished {
        let hash = String::new;
        Finished {
            name: name.to_owned(),
            rows: 1,
            failed: 0,
            bytes: 1,
            blake3: hash(),
            errors_blake3: hash(),
            source_blake3: hash(),
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_manifest_that_was_put_in_order_is_read_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(&root.path().join("job")).unwrap();
        let lock = folder.lock(&crate::bulk::CancelToken::new()).unwrap();
        let add = |name| Manifest::add(&folder, &lock, finished(name)).unwrap();
        ["a", "d", "c"].into_iter().for_each(add);
        let mut reader = Manifest::read(&folder).unwrap();
        add("b");
        // In order `c` stays the third line, and `b`, which was not read, comes before it.
        Manifest::read(&folder).unwrap().write(&folder, &lock).unwrap();
        reader.refresh(&folder).unwrap();
        assert_eq!(reader.finished.into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}
