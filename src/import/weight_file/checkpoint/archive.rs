//! The entries of a zip archive that are not compressed, by their places in the file.
//!
//! Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 4.3.

use std::{collections::BTreeMap, fs::File, ops::Range};

use crate::{
    error::{Error, Result},
    threads::platform::read_exact_at,
};

/// The length of the record at the end, without its comment, and of the longest comment.
const END: usize = 22;
const COMMENT: usize = u16::MAX as usize;
/// The length of what tells where a longer record at the end is, and of that.
const LOCATOR: usize = 20;
const LONG_END: usize = 56;
/// The lengths of an entry's headers without their names: in the directory, and in front of the entry.
const HEADER: usize = 46;
const LOCAL: usize = 30;

/// The directory of an archive.
pub(super) struct Archive {
    file_len: u64,
    entries: BTreeMap<String, Entry>,
}

/// An entry of the directory.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Where its own header is.
    header: u64,
    bytes: u64,
    is_plain: bool,
}

impl Archive {
    /// Reads the directory, of at most `most` bytes.
    pub(super) fn open(file: &File, file_len: u64, most: u64) -> Result<Self> {
        let [start, len] = directory(file, file_len)?;
        if start.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(damaged("its directory is not in the file"));
        }
        if len > most {
            return Err(Error::limit(format!("has a directory of {len} bytes; the limit is {most}")));
        }
        let directory = read(file, start, len)?;
        let mut entries = BTreeMap::new();
        let mut rest = directory.as_slice();
        while !rest.is_empty() {
            let (name, entry, behind) = entry(rest)?;
            rest = behind;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(damaged(&format!("the entry {name:?} comes twice")));
            }
        }
        Ok(Self { file_len, entries })
    }

    /// The entry of the pickle, and the beginning of the names of what belongs to it.
    pub(super) fn pickle(&self) -> Result<(&str, Entry)> {
        let mut pickles =
            self.entries.iter().filter_map(|(name, entry)| Some((name.strip_suffix("data.pkl")?, *entry)));
        match (pickles.next(), pickles.next()) {
            (Some((root, entry)), None) if root.is_empty() || root.ends_with('/') => Ok((root, entry)),
            _ => Err(Error::unsupported("is an archive without the one pickle of a checkpoint")),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Entry> {
        self.entries.get(name).copied()
    }

    /// The bytes of an entry, at most `most`.
    pub(super) fn read(&self, file: &File, entry: Entry, most: u64) -> Result<Vec<u8>> {
        if entry.bytes > most {
            return Err(Error::limit(format!("has a pickle of {} bytes; the limit is {most}", entry.bytes)));
        }
        let place = self.place(file, entry)?;
        read(file, place.start, place.end - place.start)
    }

    /// The place of an entry's bytes in the file.
    pub(super) fn place(&self, file: &File, entry: Entry) -> Result<Range<u64>> {
        if !entry.is_plain {
            return Err(Error::unsupported("has compressed entries"));
        }
        let outside = || damaged("an entry is not in the file");
        if entry.header.checked_add(LOCAL as u64).is_none_or(|end| end > self.file_len) {
            return Err(outside());
        }
        let header = read(file, entry.header, LOCAL as u64)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(outside());
        }
        let start = entry.header + LOCAL as u64 + short(&header, 26)? + short(&header, 28)?;
        let end = start.checked_add(entry.bytes).filter(|end| *end <= self.file_len).ok_or_else(outside)?;
        Ok(start..end)
    }
}

/// Where the directory starts, and its length.
fn directory(file: &File, file_len: u64) -> Result<[u64; 2]> {
    let most = (LONG_END + LOCATOR + END + COMMENT) as u64;
    let tail_start = file_len.saturating_sub(most);
    let tail = read(file, tail_start, file_len - tail_start)?;
    let last = tail.len().checked_sub(END);
    let is_end = |place: &usize| {
        let record = &tail[*place..];
        record.starts_with(b"PK\x05\x06")
            && short(record, 20).is_ok_and(|comment| record.len() as u64 == END as u64 + comment)
    };
    let end = last.and_then(|last| (last.saturating_sub(COMMENT)..=last).rev().find(is_end));
    let end = end.ok_or_else(|| damaged("it has no directory: it is cut off, or no archive"))?;
    let record = &tail[end..];
    let locator = end.checked_sub(LOCATOR).map(|start| &tail[start..end]).filter(|own| own.starts_with(b"PK\x06\x07"));
    let Some(locator) = locator else { return Ok([word(record, 16)?, word(record, 12)?]) };
    let place = long(locator, 8)?;
    if place.checked_add(LONG_END as u64).is_none_or(|end| end > file_len) {
        return Err(damaged("its directory is not in the file"));
    }
    let record = read(file, place, LONG_END as u64)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(damaged("its directory is not where the file says"));
    }
    Ok([long(&record, 48)?, long(&record, 40)?])
}

/// The first entry of a directory, its name, and what is behind it.
fn entry(bytes: &[u8]) -> Result<(String, Entry, &[u8])> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return Err(damaged("its directory has something else than entries"));
    }
    let [method, name, extra, comment] = [10, 28, 30, 32].map(|place| short(bytes, place));
    let (name_end, extra) = (HEADER + name? as usize, extra? as usize);
    let end = name_end + extra + comment? as usize;
    let cut = || damaged("its directory is cut off");
    let (own, behind) = bytes.split_at_checked(end).ok_or_else(cut)?;
    let name = String::from_utf8_lossy(&own[HEADER..name_end]).into_owned();
    let [mut packed, mut whole, mut header] = [word(own, 20)?, word(own, 24)?, word(own, 42)?];
    let mut extras = &own[name_end..name_end + extra];
    while extras.len() >= 4 {
        let (kind, len) = (short(extras, 0)?, short(extras, 2)? as usize);
        let content = extras.get(4..4 + len).ok_or_else(cut)?;
        if kind == 1 {
            // Numbers of 64 bits for those whose own fields are full, in this order.
            let mut place = 0;
            for number in [&mut whole, &mut packed, &mut header] {
                if *number == u64::from(u32::MAX) {
                    *number = long(content, place)?;
                    place += 8;
                }
            }
        }
        extras = &extras[4 + len..];
    }
    let is_plain = method? == 0 && packed == whole;
    Ok((name, Entry { header, bytes: whole, is_plain }, behind))
}

fn read(file: &File, start: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Error::limit("is past the address space"))?];
    read_exact_at(file, &mut bytes, start).map_err(|error| Error::io(error, "reading the archive"))?;
    Ok(bytes)
}

/// The number of `N` bytes at a place.
fn number<const N: usize>(bytes: &[u8], place: usize) -> Result<u64> {
    let own = bytes.get(place..).and_then(|rest| rest.first_chunk::<N>()).ok_or_else(|| damaged("it is cut off"))?;
    let mut whole = [0; 8];
    whole[..N].copy_from_slice(own);
    Ok(u64::from_le_bytes(whole))
}

fn short(bytes: &[u8], place: usize) -> Result<u64> {
    number::<2>(bytes, place)
}

fn word(bytes: &[u8], place: usize) -> Result<u64> {
    number::<4>(bytes, place)
}

fn long(bytes: &[u8], place: usize) -> Result<u64> {
    number::<8>(bytes, place)
}

fn damaged(what: &str) -> Error {
    Error::invalid_model(format!("is a damaged archive: {what}"))
}
