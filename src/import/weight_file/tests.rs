//! Checkpoints in every form that PyTorch writes, against what was saved (`tests/scripts/golden_checkpoints.py`).

mod mistakes;

use std::{fs, path::PathBuf};

use super::*;
use crate::{error::ErrorKind, kernels::random};

const MOST: u64 = 1 << 20;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/checkpoints").join(name)
}

fn numbers(file: &WeightFile, name: &str) -> Vec<f32> {
    let count = file.tensors()[name].shape.iter().product();
    let mut numbers = vec![f32::NAN; count];
    file.read_f32_into(name, &mut numbers).unwrap();
    numbers
}

#[test]
fn every_form_of_a_checkpoint_has_the_tensors_that_were_saved() {
    let plain = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5];
    for form in ["archive.bin", "archive-protocol4.bin", "row.bin"] {
        let file = WeightFile::open(&golden(form), MOST).unwrap();
        for (name, shape, expected) in [
            ("numbers", vec![2, 3], plain.to_vec()),
            ("float16", vec![2, 3], plain.to_vec()),
            ("bfloat16", vec![2, 3], plain.to_vec()),
            ("float64", vec![2, 3], plain.to_vec()),
            ("int8", vec![2, 3], plain.map(f32::trunc).to_vec()),
            ("first", vec![3], vec![0.0, 1.0, 2.0]),
            ("second", vec![5, 1], vec![3.0, 4.0, 5.0, 6.0, 7.0]),
            ("parameter", vec![3], plain[..3].to_vec()),
            ("again", vec![2, 3], plain.to_vec()),
            ("single", vec![], vec![7.0]),
            ("empty", vec![0, 4], vec![]),
            ("thin", vec![1, 1], vec![-1.5]),
        ] {
            assert_eq!((file.tensors()[name].shape.clone(), numbers(&file, name)), (shape, expected), "{form}: {name}");
        }
        assert_eq!(file.tensors()["int64"].dtype, DType::I64);
        assert_eq!(file.tensors()["bool"].dtype, DType::Bool);
        assert_eq!(file.tensors().len(), 14);
    }
}

#[test]
fn what_is_no_dictionary_of_tensors_in_a_row_is_refused() {
    for (name, named) in [
        ("turned.bin", "`turned`: has the shape [3, 2] and the strides [1, 3]"),
        ("module.bin", "calls `torch.nn.modules.linear.Linear`"),
    ] {
        let error = WeightFile::open(&golden(name), MOST).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(named), "{error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    // A pickle that would start a program.
    let mut row = fs::read(golden("row.bin")).unwrap();
    let version = row.windows(2).position(|pair| pair == [b'M', 0xe9]).unwrap();
    row.truncate(version + 4);
    row.extend(b"\x80\x02}q\x00.\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.");
    fs::write(&path, &row).unwrap();
    let error = WeightFile::open(&path, MOST).unwrap_err().to_string();
    assert!(error.contains("calls `posix.system`"), "{error}");
    for (content, kind, named) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00"[..], ErrorKind::InvalidModel, "git lfs pull"),
        (b"", ErrorKind::InvalidModel, "neither an archive"),
        (b"PK\x03\x04", ErrorKind::InvalidModel, "no directory"),
    ] {
        fs::write(&path, content).unwrap();
        let error = WeightFile::open(&path, MOST).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    for form in ["archive.bin", "row.bin"] {
        assert!(WeightFile::open(&golden(form), 100).is_err(), "{form} within 100 bytes");
    }
}

#[test]
fn rows_that_grow_by_themselves_meet_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let mut row = fs::read(golden("row.bin")).unwrap();
    let version = row.windows(2).position(|pair| pair == [b'M', 0xe9]).unwrap();
    row.truncate(version + 4);
    // A list of 1,000 pairs, made a dictionary over and over.
    row.extend(b"\x80\x02}.\x80\x02(");
    (0..1000).for_each(|_| row.extend(b"NN\x86"));
    row.extend(b"lq\x000");
    row.truncate(row.len() - 1);
    (0..100_000).for_each(|_| row.extend(b"ccollections\nOrderedDict\nh\x00\x85R"));
    row.push(b'.');
    fs::write(&path, &row).unwrap();
    let error = WeightFile::open(&path, 16 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn damaged_checkpoints_are_errors_or_lie_within_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let mut drawn = 0;
    let mut below = |most: usize| {
        drawn += 1;
        (random::bits(7, drawn) % most as u64) as usize
    };
    let mut opened = 0;
    for form in ["archive.bin", "archive-protocol4.bin", "row.bin"] {
        let whole = fs::read(golden(form)).unwrap();
        for _ in 0..2000 {
            let mut bytes = whole.clone();
            for _ in 0..=below(3) {
                let place = below(bytes.len());
                bytes[place] = [0, 0xff, below(256) as u8, bytes[place] ^ 1][below(4)];
            }
            if below(4) == 0 {
                bytes.truncate(below(bytes.len()));
            }
            fs::write(&path, &bytes).unwrap();
            let Ok(file) = WeightFile::open(&path, MOST) else { continue };
            opened += 1;
            for info in file.tensors().values() {
                assert!(info.bytes.start <= info.bytes.end && info.bytes.end <= bytes.len() as u64, "{form}: {info:?}");
                let count: usize = info.shape.iter().product();
                assert_eq!(info.bytes.end - info.bytes.start, (count * info.dtype.size()) as u64);
            }
        }
    }
    assert!(opened > 100, "most damage lies in numbers: {opened}");
}
