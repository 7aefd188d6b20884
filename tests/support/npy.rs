//! Files of rows of f32 in NumPy's format, read with no more than its description.

use std::{fs, path::Path};

/// The rows of a file, and the columns that its header tells.
pub fn rows(path: &Path) -> (Vec<Vec<f32>>, usize) {
    let bytes = fs::read(path).unwrap();
    let (start, rest) = bytes.split_at(10);
    assert_eq!(start[..8], *b"\x93NUMPY\x01\x00");
    let (header, elements) = rest.split_at(usize::from(u16::from_le_bytes([start[8], start[9]])));
    assert!((start.len() + header.len()).is_multiple_of(64) && header.ends_with(b"\n"));
    let header = str::from_utf8(header).unwrap();
    let shape = header.trim_end().strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (").unwrap();
    let shape = shape.strip_suffix("), }").unwrap();
    let [rows, columns] = shape.split(", ").map(|dim| dim.parse().unwrap()).collect::<Vec<usize>>()[..] else {
        panic!("{shape} is not of rows and columns")
    };
    let elements: Vec<f32> = elements.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(elements.len(), rows * columns);
    (elements.chunks_exact(columns).map(<[f32]>::to_vec).collect(), columns)
}
