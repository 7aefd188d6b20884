//! Writes a `.npy` file of rows whose number is known only at the end, and reads the ranges of columns.

use std::{
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use gristmill::text::{Ranges, VectorFormat};

use super::common::{Failure, output::OutputFile, plain_path};

/// Bytes of the padded header, so that it can be overwritten with the final number of rows.
const HEADER: usize = 128;

/// Bytes of a header that is read, at most.
const MOST_HEADER: usize = 10_000;

/// A file under construction; [`finish`](Self::finish) writes the number of rows.
pub struct Npy {
    file: BufWriter<OutputFile>,
    format: VectorFormat,
    columns: usize,
    rows: usize,
}

impl Npy {
    /// Begins a file without rows, for vectors of `width` numbers.
    pub fn begin(file: OutputFile, format: VectorFormat, width: usize) -> io::Result<Self> {
        let columns = match format {
            VectorFormat::F32 | VectorFormat::F16 => width,
            _ => format.bytes(width),
        };
        let mut file = BufWriter::with_capacity(1 << 18, file);
        file.write_all(&header(format, 0, columns))?;
        // Fails for a pipe here instead of at the end.
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(Self { file, format, columns, rows: 0 })
    }

    /// Adds a row.
    pub fn row(&mut self, row: &[u8]) -> io::Result<()> {
        self.rows += 1;
        self.file.write_all(row)
    }

    /// Writes the number of rows; returns it and the file.
    pub fn finish(mut self) -> io::Result<(usize, OutputFile)> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.format, self.rows, self.columns))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((self.rows, file))
    }
}

/// Version 1.0 of the format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn header(format: VectorFormat, rows: usize, columns: usize) -> Vec<u8> {
    let kind = match format {
        VectorFormat::F16 => "<f2",
        VectorFormat::Int8 | VectorFormat::Binary => "|i1",
        VectorFormat::Uint8 | VectorFormat::Ubinary => "|u1",
        _ => "<f4",
    };
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    header.extend_from_slice(
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}").as_bytes(),
    );
    header.resize(HEADER - 1, b' ');
    header.push(b'\n');
    header
}

/// Reads the smallest and the largest number of each of `width` columns, f32 `[2, width]`.
pub fn read_ranges(path: &Path, width: usize) -> Result<Ranges, Failure> {
    let fail = |message: String| Failure::new(format!("reading the ranges {}: {message}", plain_path(path)));
    let reading = |error: io::Error| fail(error.to_string());
    let mut file = io::BufReader::new(std::fs::File::open(path).map_err(reading)?);
    let mut start = [0; 10];
    file.read_exact(&mut start).map_err(reading)?;
    let length = usize::from(u16::from_le_bytes([start[8], start[9]]));
    if !start.starts_with(b"\x93NUMPY\x01\x00") || length > MOST_HEADER {
        return Err(fail("it is no .npy file of version 1.0".to_owned()));
    }
    let mut header = vec![0; length];
    file.read_exact(&mut header).map_err(reading)?;
    let text: String = String::from_utf8_lossy(&header).split_whitespace().collect();
    let expected = format!("'shape':(2,{width})");
    if !text.contains("'descr':'<f4'") || !text.contains("'fortran_order':False") || !text.contains(&expected) {
        return Err(fail(format!("it holds {}; expected is f32 of the shape (2, {width})", text.trim())));
    }
    let mut numbers = || -> Result<Vec<f32>, Failure> {
        let mut bytes = vec![0; 4 * width];
        file.read_exact(&mut bytes).map_err(reading)?;
        let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(bytes.chunks_exact(4).map(number).collect())
    };
    let (least, most) = (numbers()?, numbers()?);
    Ranges::new(least, most).map_err(|error| fail(error.to_string()))
}
