//! Parts as arrays of NumPy: the vectors alone.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
};

use half::f16;

use crate::{
    error::{Error, Result},
    files::{
        cell::{Cell, Column, ColumnType},
        record::Record,
        sink::{Shape, Sink},
    },
    tensor::DType,
};

/// Bytes of the padded header, so that the number of rows can be written at the end.
const HEADER: usize = 128;

/// A part of vectors.
pub(in crate::files) struct NpySink {
    file: BufWriter<File>,
    /// The place of the vectors among the columns.
    place: usize,
    dtype: DType,
    width: usize,
    rows: usize,
    row: Vec<u8>,
}

/// The one column of vectors: its place, type and width.
pub(in crate::files) fn vectors(columns: &[Column]) -> Result<(usize, DType, usize)> {
    let mut found = columns.iter().enumerate().filter_map(|(place, column)| match column.kind {
        ColumnType::Vector { dtype, width } => Some((place, dtype, width)),
        _ => None,
    });
    match (found.next(), found.next()) {
        (Some(vectors), None) => Ok(vectors),
        _ => Err(Error::invalid_input("npy holds one column of vectors; write jsonl")),
    }
}

impl NpySink {
    pub(in crate::files) fn begin(shape: &Shape, file: File) -> io::Result<Self> {
        let (place, dtype, width) = vectors(&shape.columns).map_err(io::Error::other)?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        file.write_all(&header(dtype, 0, width))?;
        Ok(Self { file, place, dtype, width, rows: 0, row: Vec::new() })
    }
}

impl Sink for NpySink {
    fn encode(&mut self, _: Option<&Record>, cells: &[Cell]) -> Result<()> {
        self.row.clear();
        match (cells.get(self.place), self.dtype) {
            (Some(Cell::Vector(bytes)), _) => self.row.extend_from_slice(bytes),
            (_, DType::F32) => self.row.extend(std::iter::repeat_n(f32::NAN.to_le_bytes(), self.width).flatten()),
            (_, DType::F16) => self.row.extend(std::iter::repeat_n(f16::NAN.to_le_bytes(), self.width).flatten()),
            _ => self.row.resize(self.width, 0),
        }
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        self.rows += 1;
        self.file.write_all(&self.row)
    }

    fn copy(&mut self, row: &[u8]) -> io::Result<()> {
        self.rows += 1;
        self.file.write_all(row)
    }

    fn finish(mut self: Box<Self>) -> io::Result<File> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.dtype, self.rows, self.width))?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Version 1.0 of the format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn header(dtype: DType, rows: usize, width: usize) -> Vec<u8> {
    let kind = match dtype {
        DType::F16 => "<f2",
        DType::I8 => "|i1",
        DType::U8 => "|u1",
        _ => "<f4",
    };
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    header.extend(format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {width}), }}").bytes());
    header.resize(HEADER - 1, b' ');
    header.push(b'\n');
    header
}

/// Reads the header of a part: its rows, and the bytes of each.
pub(in crate::files) fn read_header(file: &mut impl Read) -> io::Result<(u64, usize)> {
    let mut bytes = [0; HEADER];
    file.read_exact(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[10..]);
    let between = |start: &str, end: &str| {
        let rest = &text[text.find(start)? + start.len()..];
        Some(rest[..rest.find(end)?].to_owned())
    };
    let size = match between("'descr': '", "'").as_deref() {
        Some("<f4") => 4,
        Some("<f2") => 2,
        Some("|i1" | "|u1") => 1,
        _ => 0,
    };
    let shape = between("'shape': (", ")").unwrap_or_default();
    let parsed =
        shape.split_once(", ").and_then(|(rows, width)| Some((rows.parse().ok()?, width.parse::<usize>().ok()?)));
    match parsed {
        Some((rows, width)) if size > 0 && width.checked_mul(size).is_some() => Ok((rows, width * size)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no array that a job writes")),
    }
}
