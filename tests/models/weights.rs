//! Files of weights: every float type, and shards, give the vectors of one file of f32 with the same numbers.

use std::{collections::BTreeMap, fs, path::Path};

use gristmill::{
    Device,
    text::{Embedder, SparseEmbedder},
};
use half::{bf16, f16};
use serde_json::{Map, Value, json};

use crate::support::{
    data::golden,
    folder::{changed, with_header},
};

const TEXTS: [&str; 3] = ["the quick brown fox", "東京は日本の首都です。", "don't, can't: it's"];
const FILE: &str = "model.safetensors";

/// A float type of a file: its name, its bytes for a number, and the number that they stand for.
type Stored = (&'static str, fn(f32) -> Vec<u8>, fn(f32) -> f32);

const TYPES: [Stored; 4] = [
    ("F16", |x| f16::from_f32(x).to_le_bytes().into(), |x| f16::from_f32(x).to_f32()),
    ("BF16", |x| bf16::from_f32(x).to_le_bytes().into(), |x| bf16::from_f32(x).to_f32()),
    ("F64", |x| f64::from(x).to_le_bytes().into(), |x| x),
    ("F32", |x| x.to_le_bytes().into(), |x| x),
];

/// The tensors of a file of f32 or f16: shapes and numbers.
fn read(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let tensor = |(name, info): (String, Value)| {
        let at = |index: usize| info["data_offsets"][index].as_u64().unwrap() as usize;
        let data = &data[at(0)..at(1)];
        let numbers = match info["dtype"].as_str().unwrap() {
            "F32" => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "F16" => data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            other => panic!("{other}"),
        };
        (name, (serde_json::from_value(info["shape"].clone()).unwrap(), numbers))
    };
    tensors.map(tensor).collect()
}

/// A file of those tensors.
fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a String, &'a (Vec<usize>, Vec<f32>))>,
    (dtype, bytes, _): Stored,
) {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, (shape, numbers)) in tensors {
        let start = data.len();
        data.extend(numbers.iter().flat_map(|&number| bytes(number)));
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}));
    }
    fs::write(path, with_header(&Value::from(header).to_string(), &data)).unwrap();
}

fn vectors(folder: &Path) -> Vec<Vec<f32>> {
    Embedder::open(folder, Device::Cpu).unwrap_or_else(|error| panic!("{error}")).embed(&TEXTS).unwrap()
}

#[test]
fn every_float_type_gives_the_vectors_of_its_numbers() {
    for name in ["bert", "deberta", "gemma3", "modernbert", "mpnet", "nomic-bert", "qwen3", "t5-gated"] {
        let source = golden("encoders").join(name);
        let tensors = read(&source.join(FILE));
        for stored @ (dtype, _, rounded) in TYPES {
            let [folder, plain] = [(), ()].map(|()| changed(&source, &[]));
            write(&folder.path().join(FILE), &tensors, stored);
            let mut same = tensors.clone();
            same.values_mut().flat_map(|(_, numbers)| numbers).for_each(|number| *number = rounded(*number));
            write(&plain.path().join(FILE), &same, TYPES[3]);
            assert_eq!(vectors(folder.path()), vectors(plain.path()), "{name} of {dtype}");
        }
    }
}

#[test]
fn shards_give_the_vectors_of_one_file() {
    for name in ["albert", "deberta", "modernbert", "qwen3", "t5"] {
        let source = golden("encoders").join(name);
        let tensors = read(&source.join(FILE));
        let folder = changed(&source, &[]);
        fs::remove_file(folder.path().join(FILE)).unwrap();
        // As transformers names them; the last shard is of another type.
        let mut places = BTreeMap::new();
        for shard in 0..3 {
            let file = format!("model-{:05}-of-00003.safetensors", shard + 1);
            let own: Vec<_> = tensors.iter().enumerate().filter(|(index, _)| index % 3 == shard).collect();
            places.extend(own.iter().map(|(_, (name, _))| ((*name).clone(), file.clone())));
            let stored = TYPES[if shard == 2 { 2 } else { 3 }];
            write(&folder.path().join(file), own.into_iter().map(|(_, tensor)| tensor), stored);
        }
        let index = json!({"metadata": {"total_parameters": 1, "total_size": 2}, "weight_map": places});
        fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        assert_eq!(vectors(folder.path()), vectors(&source), "{name}");
    }
}

/// A head that shares the words' vectors need not be in the file; where it is, it has the same numbers.
#[test]
fn tied_words_are_those_of_the_embeddings() {
    let weights = |folder: &Path| {
        let embedder = SparseEmbedder::open(folder, Device::Cpu).unwrap_or_else(|error| panic!("{error}"));
        embedder.embed(&TEXTS).unwrap()
    };
    for (name, words, head) in [
        ("bert", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("roberta", "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
        ("modernbert", "model.embeddings.tok_embeddings.weight", "decoder.weight"),
    ] {
        let source = golden("heads/sparse").join(name);
        let mut tensors = read(&source.join(FILE));
        let expected = weights(&source);
        let shared = tensors[words].clone();
        for written in [true, false] {
            match written {
                true => drop(tensors.insert(head.to_owned(), shared.clone())),
                false => drop(tensors.remove(head)),
            }
            let folder = changed(&source, &[]);
            write(&folder.path().join(FILE), &tensors, TYPES[3]);
            assert_eq!(weights(folder.path()), expected, "{name}, written {written}");
        }
    }
}
