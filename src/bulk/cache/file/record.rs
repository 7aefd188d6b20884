//! The stored form of a result.

use crate::bulk::cache::file::Key;

const CHECKSUM: usize = 8;

/// Encodes a result for the file.
pub(in crate::bulk) fn wrap(key: &Key, bytes: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + bytes.len() + CHECKSUM);
    stored.extend_from_slice(key);
    stored.extend_from_slice(bytes);
    stored.extend_from_slice(&checksum(key, bytes));
    stored
}

/// The bytes of a stored result; `None` if they are not those written for `key`.
pub(in crate::bulk) fn unwrap<'s>(key: &Key, stored: &'s [u8]) -> Option<&'s [u8]> {
    let (bytes, sum) = stored.strip_prefix(key)?.split_last_chunk::<CHECKSUM>()?;
    (*sum == checksum(key, bytes)).then_some(bytes)
}

fn checksum(key: &Key, bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = blake3::keyed_hash(key, bytes);
    // A hash has 32 bytes.
    *hash.as_bytes().first_chunk().unwrap_or(&[0; CHECKSUM])
}

/// An upper bound on the bytes that a result of `len` bytes occupies in the file.
///
/// That is its share of 4 KiB pages, or pages of its own, and its entry in the index, whose pages
/// may be half full and exist twice while they are written.
pub(in crate::bulk) fn stored_bytes(len: usize) -> u64 {
    let len = len as u64 + 80;
    let own =
        if len > 2000 { len.checked_next_power_of_two().unwrap_or(u64::MAX / 2).max(4096) } else { len + len / 3 };
    own + 300
}
