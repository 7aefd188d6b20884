//! The model's input from a file, or the file's type where no model is needed.
//!
//! Follows the feature extraction of the magika package 1.0.3: 1,024 bytes from each end of the file, without white
//! space at the very ends; a token that is no byte fills the middle.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use gristmill::{Error, Result, Tensor, Tensors};

use super::labels::Config;

/// A prepared file.
pub enum Features {
    /// The label, which needs no model.
    Known(&'static str),
    /// The model's input, `i32 [1, 2048]`.
    Bytes(Tensors),
}

/// Reads the features of the file at `path`, following links.
pub fn of_path(path: &Path, config: &Config) -> Result<Features> {
    let failed = |doing: &'static str| move |error| Error::io(error, doing);
    let kind = std::fs::metadata(path).map_err(failed("reading its metadata"))?;
    if kind.is_dir() {
        return Ok(Features::Known("directory"));
    }
    if !kind.is_file() {
        // Opening a pipe would wait for its writer, and reading a device may never end.
        return Ok(Features::Known("unknown"));
    }
    let mut file = File::open(path).map_err(failed("opening it"))?;
    of_reader(&mut file, config)
}

/// Reads the features of a file's bytes.
pub fn of_reader(file: &mut (impl Read + Seek), config: &Config) -> Result<Features> {
    let failed = |doing: &'static str| move |error| Error::io(error, doing);
    let size = file.seek(SeekFrom::End(0)).map_err(failed("reading its size"))?;
    if size == 0 {
        return Ok(Features::Known("empty"));
    }
    let block = config.block_size.min(usize::try_from(size).unwrap_or(usize::MAX));
    let mut read_at = |offset: u64| -> Result<Vec<u8>> {
        let mut bytes = vec![0; block];
        file.seek(SeekFrom::Start(offset)).map_err(failed("reading it"))?;
        file.read_exact(&mut bytes).map_err(failed("reading it"))?;
        Ok(bytes)
    };
    let first = read_at(0)?;
    if first.len() < config.min_file_size_for_dl {
        return Ok(Features::Known(few_bytes(&first)));
    }
    let last = read_at(size - block as u64)?;
    let start = first.iter().position(|byte| !is_space(*byte)).unwrap_or(first.len());
    let end = last.iter().rposition(|byte| !is_space(*byte)).map_or(0, |index| index + 1);
    let beginning = &first[start..(start + config.beg_size).min(first.len())];
    let ending = &last[end.saturating_sub(config.end_size)..end];
    if beginning.len() < config.min_file_size_for_dl {
        return Ok(Features::Known(few_bytes(&first)));
    }
    let mut tokens = vec![config.padding_token; config.beg_size + config.end_size];
    for (slot, &byte) in tokens.iter_mut().zip(beginning) {
        *slot = i32::from(byte);
    }
    for (slot, &byte) in tokens.iter_mut().rev().zip(ending.iter().rev()) {
        *slot = i32::from(byte);
    }
    let tensor = Tensor::new([1, tokens.len()], &tokens)?;
    Ok(Features::Bytes(Tensors::from([("bytes", tensor)])))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The label of a file that is too short for the model.
fn few_bytes(bytes: &[u8]) -> &'static str {
    if std::str::from_utf8(bytes).is_ok() { "txt" } else { "unknown" }
}
