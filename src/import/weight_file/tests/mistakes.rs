//! Checkpoints with one mistake each, in both forms.

use std::{fs, path::Path};

use super::MOST;
use crate::{error::Result, import::weight_file::WeightFile};

const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A number of two bytes or, if negative, a long one.
fn number(number: i64) -> Vec<u8> {
    match u16::try_from(number) {
        Ok(number) => [&b"M"[..], &number.to_le_bytes()].concat(),
        Err(_) => [&b"\x8a\x01"[..], &(number as i8).to_le_bytes()].concat(),
    }
}

fn row(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [vec![b'('], items.into_iter().flatten().collect(), vec![b't']].concat()
}

/// A tensor as a pickle describes it.
#[derive(Clone)]
struct Described {
    name: &'static str,
    kind: &'static str,
    storage: &'static str,
    key: &'static str,
    count: i64,
    first: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
    /// The sixth part of a storage of the older form, as its code.
    view: &'static [u8],
}

impl Described {
    fn plain() -> Self {
        Self {
            name: "a",
            kind: "storage",
            storage: "Float",
            key: "0",
            count: 6,
            first: 0,
            shape: vec![2, 3],
            strides: vec![3, 1],
            view: b"N",
        }
    }

    fn pickled(&self) -> Vec<u8> {
        let numbers = |list: &[i64]| row(list.iter().map(|&item| number(item)));
        let storage = [
            text(self.kind),
            format!("ctorch\n{}Storage\n", self.storage).into(),
            text(self.key),
            text("cpu"),
            number(self.count),
            self.view.to_vec(),
        ];
        let storage = [row(storage), vec![b'Q']].concat();
        let operands = row([storage, number(self.first), numbers(&self.shape), numbers(&self.strides)]);
        [text(self.name), b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(), operands, vec![b'R']].concat()
    }
}

fn dictionary(tensors: &[Described]) -> Vec<u8> {
    let entries: Vec<u8> = tensors.iter().flat_map(Described::pickled).collect();
    [b"\x80\x02}(", &entries[..], b"u."].concat()
}

/// The bytes of six numbers.
fn numbers() -> Vec<u8> {
    (1u8..=6).flat_map(|number| f32::from(number).to_le_bytes()).collect()
}

/// A checkpoint of the older form, with one storage.
fn older(system: &[u8], tensors: &[u8]) -> Vec<u8> {
    let system = [b"\x80\x02}", &text("little_endian")[..], system, b"s."].concat();
    let keys = [b"\x80\x02](", &text("0")[..], b"e."].concat();
    [MAGIC, b"\x80\x02M\xe9\x03.", &system, tensors, &keys, &6u64.to_le_bytes(), &numbers()].concat()
}

/// An entry of an archive: name, way of packing, content.
type Entry = (&'static str, u16, Vec<u8>);

/// An archive of entries, with numbers of 64 bits if `wide`.
fn archive(entries: &[Entry], wide: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, method, content) in entries {
        let (start, len, full) = (file.len() as u64, content.len() as u64, u32::MAX.to_le_bytes());
        let extra = [
            &1u16.to_le_bytes()[..],
            &24u16.to_le_bytes(),
            &len.to_le_bytes(),
            &len.to_le_bytes(),
            &start.to_le_bytes(),
        ];
        let extra = if wide { extra.concat() } else { Vec::new() };
        let size = if wide { full } else { (len as u32).to_le_bytes() };
        let place = if wide { full } else { (start as u32).to_le_bytes() };
        let name_len = (name.len() as u16).to_le_bytes();
        // The version, flags, the way of packing, a date, a sum that nobody reads, and the sizes.
        let common = [&[0; 4][..], &method.to_le_bytes(), &[0; 8], &size, &size, &name_len].concat();
        file.extend([b"PK\x03\x04", &common[..], &[0; 2], name.as_bytes(), content].concat());
        let extra_len = (extra.len() as u16).to_le_bytes();
        directory
            .extend([b"PK\x01\x02\0\0", &common[..], &extra_len, &[0; 10], &place, name.as_bytes(), &extra].concat());
    }
    let (start, len) = (file.len() as u64, directory.len() as u64);
    file.extend(directory);
    let mut own = [(len as u32).to_le_bytes(), (start as u32).to_le_bytes()].concat();
    if wide {
        let end = file.len() as u64;
        file.extend([b"PK\x06\x06", &[0; 36][..], &len.to_le_bytes(), &start.to_le_bytes()].concat());
        file.extend([b"PK\x06\x07", &[0; 4][..], &end.to_le_bytes(), &[0; 4]].concat());
        own = vec![0xff; 8];
    }
    file.extend([b"PK\x05\x06", &[0; 8][..], &own, &[0; 2]].concat());
    file
}

fn newer(tensors: &[Described]) -> Vec<Entry> {
    vec![
        ("own/data.pkl", 0, dictionary(tensors)),
        ("own/byteorder", 0, b"little".to_vec()),
        ("own/data/0", 0, numbers()),
    ]
}

fn open(path: &Path, bytes: &[u8], most: u64) -> Result<WeightFile> {
    fs::write(path, bytes).unwrap();
    WeightFile::open(path, most)
}

fn refused(path: &Path, bytes: &[u8], most: u64, named: &str) {
    let error = open(path, bytes, most).map(drop).expect_err(named).to_string();
    assert!(error.contains(named), "{error} instead of {named}");
}

#[test]
fn a_mistake_in_a_pickle_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let plain = Described::plain;
    let whole = |tensor: Described| older(b"\x88", &dictionary(&[tensor]));
    let empty = Described { shape: vec![2, 0], strides: vec![7, 9], ..plain() };
    for tensor in [plain(), empty, Described { first: 2, shape: vec![4], strides: vec![1], ..plain() }] {
        let count: i64 = tensor.shape.iter().product();
        let file = open(&path, &whole(tensor.clone()), MOST).unwrap();
        let mut own = vec![0.0; count as usize];
        file.read_f32_into("a", &mut own).unwrap();
        let due = (1..=6).map(|number| number as f32).skip(tensor.first as usize).take(own.len());
        assert_eq!(own, due.collect::<Vec<f32>>());
    }
    for (tensor, named) in [
        (Described { count: 5, ..plain() }, "is not in its storage"),
        (Described { first: 1, ..plain() }, "is not in its storage"),
        (Described { first: -1, ..plain() }, "begins before its storage"),
        (Described { strides: vec![1], ..plain() }, "has the shape [2, 3] and the strides [1]"),
        (Described { view: b"K\x01", ..plain() }, "a view of another"),
        (Described { kind: "module", ..plain() }, "a storage whose description is not understood"),
        (Described { key: "1", ..plain() }, "no tensor has the storage \"0\""),
        (Described { shape: vec![1; 9], strides: vec![1; 9], ..plain() }, "a tensor of 9 dimensions"),
    ] {
        refused(&path, &whole(tensor), MOST, named);
    }
    refused(&path, &older(b"\x89", &dictionary(&[plain()])), MOST, "another byte order");
    refused(&path, &older(b"\x88", &dictionary(&[plain(), plain()])), MOST, "the name `a` comes twice");
    let other = Described { name: "b", storage: "Half", ..plain() };
    refused(&path, &older(b"\x88", &dictionary(&[plain(), other])), MOST, "the storage \"0\" has two types");
    // What stands in front of a mark is not taken behind it.
    refused(&path, &older(b"\x88", b"\x80\x02}}(b."), MOST, "takes more from the stack than there is");
}

#[test]
fn a_mistake_in_an_archive_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let plain = Described::plain;
    for wide in [false, true] {
        let whole = archive(&newer(&[plain()]), wide);
        let file = open(&path, &whole, MOST).unwrap();
        let mut own = [0.0; 6];
        file.read_f32_into("a", &mut own).unwrap();
        assert_eq!(own, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let changed = |index: usize, change: &dyn Fn(&mut Entry)| {
            let mut entries = newer(&[plain()]);
            change(&mut entries[index]);
            archive(&entries, wide)
        };
        refused(&path, &changed(1, &|entry| entry.2 = b"big".to_vec()), MOST, "another byte order");
        refused(&path, &changed(2, &|entry| entry.1 = 8), MOST, "has compressed entries");
        refused(&path, &changed(2, &|entry| entry.0 = "own/data/1"), MOST, "has no storage \"0\"");
        refused(&path, &changed(2, &|entry| entry.0 = "own/byteorder"), MOST, "\"own/byteorder\" comes twice");
        refused(&path, &changed(2, &|entry| entry.2.truncate(23)), MOST, "is not in its storage");
        let mut headless = whole.clone();
        let header = whole.windows(4).rposition(|four| four == b"PK\x03\x04").unwrap();
        headless[header + 3] = 5;
        refused(&path, &headless, MOST, "an entry is not in the file");
    }
    // A limit for the pickle, and one for the directory.
    let long = Described { name: Box::leak("a".repeat(1000).into_boxed_str()), ..plain() };
    refused(&path, &archive(&newer(&[long]), false), 500, "has a pickle of");
    let mut entries = newer(&[plain()]);
    entries.extend((0..20).map(|_| ("own/other", 0, Vec::new())));
    refused(&path, &archive(&entries, false), 500, "has a directory of");
}
