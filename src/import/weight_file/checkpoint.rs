//! Checkpoints of PyTorch: a dictionary of tensors that `torch.save` wrote, read as data.
//!
//! A checkpoint is a pickle: a program for a machine with a stack that may name any function of Python. The machine here
//! knows the functions that describe tensors and dictionaries, makes descriptions of what they would return, and refuses
//! all others by name; there is nothing that it could call.
//!
//! Two forms exist. Since PyTorch 1.6 a checkpoint is an archive of the pickle and of an entry for each storage, the
//! numbers of one or more tensors. Before, it was a row of pickles, of which the last lists the storages that follow.

mod archive;
mod machine;
mod state;
mod values;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    ops::Range,
};

use crate::{
    error::{Context, Error, Result},
    import::weight_file::{
        TensorInfo,
        checkpoint::{
            archive::Archive,
            machine::run,
            state::{Storage, is_little_endian, storages, tensors, texts},
            values::Pickled,
        },
    },
    threads::platform::read_exact_at,
};

/// The pickle of the number that begins a checkpoint of the older form.
const MAGIC: &[u8] = &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// The tensors of a file of `file_len` bytes, by the places of their numbers in it. What describes them has at most
/// `most` bytes.
pub(super) fn read(file: &File, file_len: u64, most: u64) -> Result<BTreeMap<String, TensorInfo>> {
    let mut start = vec![0; usize::try_from(file_len).unwrap_or(MAGIC.len()).min(MAGIC.len())];
    read_exact_at(file, &mut start, 0).map_err(|error| Error::io(error, "reading the beginning"))?;
    if start.starts_with(b"PK") {
        return in_archive(file, file_len, most);
    }
    if start == MAGIC {
        return in_row(file, file_len, most);
    }
    Err(Error::invalid_model("is no checkpoint of PyTorch: neither an archive nor a row of pickles"))
}

/// The newer form.
fn in_archive(file: &File, file_len: u64, most: u64) -> Result<BTreeMap<String, TensorInfo>> {
    let archive = Archive::open(file, file_len, most)?;
    let (root, pickle) = archive.pickle()?;
    let pickle = archive.read(file, pickle, most)?;
    if let Some(order) = archive.find(&format!("{root}byteorder"))
        && archive.read(file, order, most)? != b"little"
    {
        return Err(Error::unsupported("has numbers of another byte order"));
    }
    let (pickled, _) = run(&pickle)?;
    // Tensors may share a storage.
    let mut places: HashMap<String, Range<u64>> = HashMap::new();
    tensors(&pickled, |storage| {
        if let Some(place) = places.get(storage.key) {
            return Ok(place.clone());
        }
        let missing = || Error::invalid_model(format!("has no storage {:?}", storage.key));
        let entry = archive.find(&format!("{root}data/{}", storage.key)).ok_or_else(missing)?;
        let place = archive.place(file, entry)?;
        places.insert(storage.key.to_owned(), place.clone());
        Ok(place)
    })
}

/// The older form.
fn in_row(file: &File, file_len: u64, most: u64) -> Result<BTreeMap<String, TensorInfo>> {
    let read = usize::try_from(file_len.min(most)).map_err(|_| Error::limit("is past the address space"))?;
    let mut bytes = vec![0; read];
    read_exact_at(file, &mut bytes, 0).map_err(|error| Error::io(error, "reading the pickles"))?;
    let mut place = MAGIC.len();
    let mut next = |what: &str| -> Result<Pickled> {
        let (pickled, len) = run(&bytes[place..]).context(|| format!("the pickle of {what}"))?;
        place += len;
        Ok(pickled)
    };
    next("the version")?;
    if !is_little_endian(&next("the system")?)? {
        return Err(Error::unsupported("has numbers of another byte order"));
    }
    let pickled = next("the tensors")?;
    let order = next("the storages")?;
    let keys = texts(&order)?;
    let types = storages(&pickled)?;
    let mut at = place as u64;
    let mut places: HashMap<&str, Range<u64>> = HashMap::new();
    for key in keys {
        let mut count = [0; 8];
        let cut = || Error::invalid_model(format!("ends before the storage {key:?} does"));
        if at.checked_add(8).is_none_or(|end| end > file_len) {
            return Err(cut());
        }
        read_exact_at(file, &mut count, at).map_err(|error| Error::io(error, "reading a storage"))?;
        let dtype = types.get(key).ok_or_else(|| Error::invalid_model(format!("no tensor has the storage {key:?}")))?;
        let start = at + 8;
        let bytes = u64::from_le_bytes(count).checked_mul(dtype.size() as u64);
        let end = bytes.and_then(|bytes| start.checked_add(bytes)).filter(|end| *end <= file_len).ok_or_else(cut)?;
        places.insert(key, start..end);
        at = end;
    }
    tensors(&pickled, |Storage { key, .. }| {
        places.get(key).cloned().ok_or_else(|| Error::invalid_model(format!("has no storage {key:?}")))
    })
}
