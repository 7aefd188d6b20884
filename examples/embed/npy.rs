//! Writes a `.npy` file of f32 rows whose number is known only at the end.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use crate::common::output::OutputFile;

/// Bytes of the padded header, so that it can be overwritten with the final number of rows.
const HEADER: usize = 128;

/// A file under construction; [`finish`](Self::finish) writes the number of rows.
pub struct Npy {
    file: BufWriter<OutputFile>,
    columns: usize,
    rows: usize,
}

impl Npy {
    /// Begins a file without rows.
    pub fn begin(file: OutputFile, columns: usize) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 18, file);
        file.write_all(&header(0, columns))?;
        // Fails for a pipe here instead of at the end.
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(Self { file, columns, rows: 0 })
    }

    /// Adds a row.
    pub fn row(&mut self, row: &[f32]) -> io::Result<()> {
        assert_eq!(row.len(), self.columns, "all rows have the same length");
        self.rows += 1;
        row.iter().try_for_each(|value| self.file.write_all(&value.to_le_bytes()))
    }

    /// Writes the number of rows; returns it and the file.
    pub fn finish(mut self) -> io::Result<(usize, OutputFile)> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.rows, self.columns))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((self.rows, file))
    }
}

/// Version 1.0 of the format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn header(rows: usize, columns: usize) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    header.extend_from_slice(
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}").as_bytes(),
    );
    header.resize(HEADER - 1, b' ');
    header.push(b'\n');
    header
}
