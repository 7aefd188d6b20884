//! The rows of the output: written as they come, or by a second pass where their format needs the ranges of all.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use gristmill::text::{Quantizer, Ranges, VectorFormat};

use super::{
    common::{
        Failure,
        failure::{whole, writing},
        output::OutputFile,
    },
    npy::Npy,
};

/// The rows of the output.
pub struct Vectors {
    path: PathBuf,
    npy: Npy,
    width: usize,
    bytes: Vec<u8>,
    rows: Rows,
}

enum Rows {
    /// Each row is written as it comes.
    Known(Quantizer),
    /// The vectors wait in a file without a name until the ranges of all are known.
    Waiting { format: VectorFormat, ranges: Ranges, file: BufWriter<File> },
}

impl Vectors {
    /// Begins the file at `path` for vectors of `width` numbers.
    pub fn begin(path: &Path, format: VectorFormat, width: usize, ranges: Option<&Ranges>) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| writing(path, &error);
        let npy = Npy::begin(OutputFile::create(path, &[])?, format, width).map_err(fail)?;
        let rows = match (format.needs_ranges(), ranges) {
            (true, None) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let file = tempfile::tempfile_in(folder).map_err(fail)?;
                Rows::Waiting { format, ranges: Ranges::none(width), file: BufWriter::with_capacity(1 << 18, file) }
            }
            _ => Rows::Known(Quantizer::new(format, ranges)?),
        };
        Ok(Self { path: path.to_owned(), npy, width, bytes: Vec::new(), rows })
    }

    /// Adds a vector, or the row of one that failed; says why a vector has no place in the format.
    pub fn row(&mut self, vector: Option<&[f32]>) -> Result<Option<String>, Failure> {
        let Some(vector) = vector else {
            self.failed()?;
            return Ok(None);
        };
        self.bytes.clear();
        let refused = match &mut self.rows {
            Rows::Known(quantizer) => quantizer.append(vector, &mut self.bytes),
            Rows::Waiting { ranges, .. } => ranges.include(vector).map(|()| {
                self.bytes.extend(vector.iter().flat_map(|number| number.to_le_bytes()));
            }),
        };
        if let Err(error) = refused {
            self.failed()?;
            return Ok(Some(whole(&error)));
        }
        self.write()?;
        Ok(None)
    }

    /// NaN, or zeros in formats that have none.
    fn failed(&mut self) -> Result<(), Failure> {
        self.bytes.clear();
        match &self.rows {
            Rows::Known(quantizer) if matches!(quantizer.format(), VectorFormat::F32 | VectorFormat::F16) => {
                quantizer.append(&vec![f32::NAN; self.width], &mut self.bytes)?;
            }
            Rows::Known(quantizer) => self.bytes.resize(quantizer.format().bytes(self.width), 0),
            Rows::Waiting { .. } => {
                self.bytes.extend(std::iter::repeat_n(f32::NAN.to_le_bytes(), self.width).flatten());
            }
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Failure> {
        let written = match &mut self.rows {
            Rows::Known(_) => self.npy.row(&self.bytes),
            Rows::Waiting { file, .. } => file.write_all(&self.bytes),
        };
        written.map_err(|error| writing(&self.path, &error))
    }

    /// Writes what waits; returns the number of rows, the file, and the ranges that were found.
    pub fn finish(self) -> Result<(usize, OutputFile, Option<Ranges>), Failure> {
        let Self { path, mut npy, width, mut bytes, rows } = self;
        let fail = |error: std::io::Error| writing(&path, &error);
        let mut found = None;
        if let Rows::Waiting { format, ranges, file } = rows {
            let mut file = file.into_inner().map_err(|error| fail(error.into_error()))?;
            let end = file.stream_position().map_err(fail)?;
            file.seek(SeekFrom::Start(0)).map_err(fail)?;
            // Without a vector there is nothing to place in the ranges.
            let quantizer = Quantizer::new(format, Some(&ranges)).ok();
            let (mut file, mut row) = (BufReader::with_capacity(1 << 18, file), vec![0; 4 * width]);
            for _ in 0..end.checked_div(row.len() as u64).unwrap_or_default() {
                file.read_exact(&mut row).map_err(fail)?;
                let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let vector: Vec<f32> = row.chunks_exact(4).map(number).collect();
                bytes.clear();
                match &quantizer {
                    Some(quantizer) if !vector[0].is_nan() => quantizer.append(&vector, &mut bytes)?,
                    _ => bytes.resize(format.bytes(width), 0),
                }
                npy.row(&bytes).map_err(fail)?;
            }
            found = quantizer.is_some().then_some(ranges);
        }
        let (rows, file) = npy.finish().map_err(fail)?;
        Ok((rows, file, found))
    }
}

/// The format that a flag names.
pub fn format_of(name: &str) -> Result<VectorFormat, lexopt::Error> {
    Ok(match name {
        "f32" => VectorFormat::F32,
        "f16" => VectorFormat::F16,
        "int8" => VectorFormat::Int8,
        "uint8" => VectorFormat::Uint8,
        "binary" => VectorFormat::Binary,
        "ubinary" => VectorFormat::Ubinary,
        other => return Err(format!("--output is f32, f16, int8, uint8, binary or ubinary, not {other}").into()),
    })
}

/// Whether a vector that failed is all NaN.
pub fn is_float(format: VectorFormat) -> bool {
    matches!(format, VectorFormat::F32 | VectorFormat::F16)
}
