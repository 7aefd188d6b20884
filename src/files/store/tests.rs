//! Lists, patterns and ranges, on a store in memory; folders of jobs below.

mod claims;
mod jobs;
mod kills;
mod planted;

use std::io::{Read, Seek, SeekFrom};

use futures_core::stream::BoxStream;
use object_store::{ObjectStoreExt, memory::InMemory};
pub(super) use planted::planted;

use super::*;

fn store(keys: &[&str]) -> Store {
    let inner = Arc::new(InMemory::new());
    let (filled, keys) = (Arc::clone(&inner), keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
    let cancel = CancelToken::new();
    wait(&cancel, async move {
        for key in keys {
            let bytes = if key.ends_with('/') { Vec::new() } else { key.clone().into_bytes() };
            filled.put(&Path::parse(key).unwrap(), bytes.into()).await.unwrap();
        }
    })
    .unwrap();
    Store { inner, base: "s3://bucket".to_owned(), cancel }
}

/// A stream of one failure.
fn failing<T: Send + 'static>() -> BoxStream<'static, Answer<T>> {
    let error = object_store::Error::Generic { store: "planted", source: "a planted failure".into() };
    objects::stream(vec![Err(error)])
}

fn names(found: Result<Found>) -> Vec<String> {
    found.unwrap().into_iter().map(|(path, name, _)| format!("{} {name}", path.display())).collect()
}

#[test]
fn a_folder_has_its_files_in_the_order_of_a_local_one() {
    let keys = ["a/b/2.txt", "a/b/1.txt", "a/b-c.txt", "a/_part", "a/.x/y", "a/b/_job/plan", "ab/1.txt", "a/", "a/b/"];
    let store = store(&keys);
    let expected = ["s3://bucket/a/b/1.txt b/1.txt", "s3://bucket/a/b/2.txt b/2.txt", "s3://bucket/a/b-c.txt b-c.txt"];
    assert_eq!(names(store.find("a/")), expected);
    assert_eq!(names(store.find("a/b/")), ["s3://bucket/a/b/1.txt 1.txt", "s3://bucket/a/b/2.txt 2.txt"]);
    assert_eq!(names(store.find("")).len(), 4);
    assert_eq!(names(store.find("ab")), ["s3://bucket/ab/1.txt 1.txt"]);
    assert_eq!(names(store.find("ab/1.txt")), ["s3://bucket/ab/1.txt 1.txt"]);
}

#[test]
fn a_pattern_keeps_to_its_folders() {
    let store = store(&["t/1.txt", "t/2.txt", "t/2.csv", "t/u/3.txt", "t/[x].txt"]);
    assert_eq!(names(store.find("t/*.txt")).len(), 3);
    assert_eq!(names(store.find("t/?.txt")).len(), 2);
    assert_eq!(names(store.find("t/**/*.txt")).len(), 4);
    assert_eq!(names(store.find("*/u/3.txt")), ["s3://bucket/t/u/3.txt 3.txt"]);
    // A file of that name goes first.
    assert_eq!(names(store.find("t/[x].txt")), ["s3://bucket/t/[x].txt [x].txt"]);
    for (key, said) in
        [("t/*.npy", "no file matches"), ("v", "no file is below"), ("t/[", "no pattern"), ("t//x", "empty")]
    {
        let error = store.find(key).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

fn put(store: &Store, key: &'static str, bytes: Vec<u8>) {
    let inner = Arc::clone(&store.inner);
    wait(&store.cancel, async move { inner.put(&Path::from(key), bytes.into()).await.unwrap() }).unwrap();
}

#[test]
fn an_object_is_read_as_a_file() {
    let store = store(&[]);
    let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    put(&store, "x", bytes.clone());
    let object = store.find("x").unwrap().remove(0).2;
    let mut file = Ranges::new(&object);
    let mut all = Vec::new();
    file.read_to_end(&mut all).unwrap();
    assert!(all == bytes);
    for (place, length) in [(0, 4), (65_530, 10), (3, 0), (1_199_990, 100), (70_000, 900_000), (65_536, 65_536)] {
        file.seek(SeekFrom::Start(place as u64)).unwrap();
        let mut read = Vec::new();
        file.clone().take(length as u64).read_to_end(&mut read).unwrap();
        assert!(read == bytes[place..(place + length).min(bytes.len())], "{place} {length}");
    }
    assert_eq!(file.seek(SeekFrom::End(-4)).unwrap(), bytes.len() as u64 - 4);
    assert!(file.seek(SeekFrom::Current(-2_000_000)).is_err());
    #[cfg(feature = "parquet")]
    {
        assert!(file.range(7, 1_000_000).unwrap() == bytes[7..1_000_007]);
        assert!(file.range(5, 0).unwrap().is_empty());
        // Nothing is allocated for what is not there.
        assert_eq!(file.range(1, usize::MAX).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn an_object_that_was_replaced_is_refused() {
    let store = store(&[]);
    put(&store, "x", vec![1; 200_000]);
    let object = store.find("x").unwrap().remove(0).2;
    assert!(object.is_unchanged().unwrap());
    put(&store, "x", vec![2; 200_000]);
    assert!(!object.is_unchanged().unwrap());
    let error = Ranges::new(&object).read(&mut [0]).unwrap_err().to_string();
    assert!(error.contains("was changed"), "{error}");
}
