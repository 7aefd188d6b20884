//! Files of weights, of which one tensor is read at a time: safetensors files, and checkpoints of PyTorch.
//!
//! A number in a file decides an allocation only after it has been checked against the length of the file.

mod checkpoint;
mod safetensors;

use std::{collections::BTreeMap, fmt, fs::File, ops::Range, path::Path, sync::Arc};

use half::{bf16, f16};
use rayon::prelude::*;

use crate::{
    error::{Context, Error, Result},
    import::origin::FileStamp,
    tensor::{AlignedBytes, DType, Mapping, Tensor},
    threads::platform,
};

/// The number of bytes, or of f32 elements, read at a time.
const PIECE: usize = 1 << 18;

/// The beginning of what Git LFS keeps in a clone in place of a file.
const POINTER: &[u8] = b"version https://git-lfs";

/// The type, shape and byte range of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The element type.
    pub dtype: DType,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its byte range, counted from where the file's data start.
    bytes: Range<u64>,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

/// An open file of weights, whose list of tensors is checked.
#[derive(Debug)]
pub struct WeightFile {
    file: File,
    stamp: FileStamp,
    name: String,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl WeightFile {
    /// Opens a file: a safetensors file by its name's end, else a checkpoint of PyTorch.
    ///
    /// What a file holds beside numbers has at most `max_header_bytes`, each name is unique, and each tensor has the
    /// length that its shape requires.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) past the limit,
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) if a check fails,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an unknown element type, and for a checkpoint that
    /// is more than a dictionary of tensors.
    pub fn open(path: &Path, max_header_bytes: u64) -> Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        let in_file = || format!("{} `{name}`", if is_safetensors { "safetensors file" } else { "checkpoint" });
        let opening = |error| Error::io(error, format!("opening `{name}`"));
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(opening)?.is_file() {
            return Err(Error::invalid_model("is not a regular file").context(in_file()));
        }
        let file = File::open(path).map_err(opening)?;
        let metadata = file.metadata().map_err(opening)?;
        let mut start = [0; POINTER.len()];
        if platform::read_exact_at(&file, &mut start, 0).is_ok() && start == POINTER {
            let message = "is what Git LFS keeps in place of the file; `git lfs pull` brings the file itself";
            return Err(Error::invalid_model(message).context(in_file()));
        }
        let (data_start, tensors) = match is_safetensors {
            true => safetensors::read(&file, metadata.len(), max_header_bytes),
            false => checkpoint::read(&file, metadata.len(), max_header_bytes).map(|tensors| (0, tensors)),
        }
        .context(in_file)?;
        Ok(Self { file, stamp: FileStamp::of(path.to_owned(), &metadata), name, data_start, tensors })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// Maps the whole file into memory.
    pub(crate) fn map(&self) -> Result<Arc<Mapping>> {
        Mapping::of(&self.file, self.stamp.len)
            .map(Arc::new)
            .map_err(|error| Error::io(error, format!("mapping `{}`", self.name)))
    }

    /// The reason why tensors cannot be used in place, if any.
    pub(crate) fn misfit(&self) -> Option<String> {
        let other = self.tensors.values().find(|info| to_f32(info.dtype).is_some() && info.dtype != DType::F32);
        match other {
            Some(info) => Some(format!("there are tensors of {}, and only f32 can be used in place", info.dtype)),
            None if cfg!(target_endian = "big") => Some("numbers have another byte order here".to_owned()),
            None => self.tensors.values().find_map(|info| {
                let start = self.data_start + info.bytes.start;
                (info.dtype == DType::F32 && !start.is_multiple_of(align_of::<f32>() as u64))
                    .then(|| format!("numbers start at byte {start}, which is no multiple of four"))
            }),
        }
    }

    /// The tensor `name` in place, in the file's `mapping`.
    ///
    /// `None` if its numbers are not f32, not in the machine's byte order, or not aligned.
    pub(crate) fn in_place(&self, name: &str, mapping: &Arc<Mapping>) -> Result<Option<Tensor>> {
        let (info, _) = self.floating(name)?;
        if info.dtype != DType::F32 || cfg!(target_endian = "big") {
            return Ok(None);
        }
        let place = |offset: u64| usize::try_from(self.data_start.checked_add(offset)?).ok();
        let range = place(info.bytes.start).zip(place(info.bytes.end)).map(|(start, end)| start..end);
        let bytes = range.and_then(|range| AlignedBytes::mapped(mapping, range, align_of::<f32>()));
        bytes.map(|bytes| Tensor::from_aligned(DType::F32, info.shape.clone(), bytes)).transpose()
    }

    /// The file when it was opened.
    pub(crate) fn into_stamp(self) -> FileStamp {
        self.stamp
    }

    /// The file name without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a floating-point tensor as f32 in pieces of whole rows along its last axis.
    ///
    /// `take` gets the index of a piece's first element, and the piece.
    pub(crate) fn read_f32(&self, name: &str, take: impl FnMut(usize, &[f32])) -> Result<()> {
        let (info, _) = self.floating(name)?;
        self.read_f32_rows(name, info.shape.last().copied().unwrap_or(1), take)
    }

    /// Reads a floating-point tensor as f32 in pieces of whole rows of `row` numbers.
    pub(crate) fn read_f32_rows(&self, name: &str, row: usize, mut take: impl FnMut(usize, &[f32])) -> Result<()> {
        let (info, convert) = self.floating(name)?;
        let mut left = info.bytes.end - info.bytes.start;
        let row = row.saturating_mul(info.dtype.size()).max(1);
        let most = (PIECE / row).max(1) * row;
        let piece_of = |left: u64| usize::try_from(left).map_or(most, |left| left.min(most));
        let mut bytes = vec![0; piece_of(left)];
        let mut values = Vec::with_capacity(bytes.len() / info.dtype.size());
        let mut position = 0;
        while left > 0 {
            let piece = piece_of(left);
            self.read_exact(name, &mut bytes[..piece], info.bytes.end - left)?;
            values.clear();
            convert(&bytes[..piece], &mut values);
            take(position, &values);
            position += values.len();
            left -= piece as u64;
        }
        Ok(())
    }

    /// Reads a floating-point tensor as f32 into `to`, which has its length; in parallel on a pool.
    pub(crate) fn read_f32_into(&self, name: &str, to: &mut [f32]) -> Result<()> {
        let (info, _) = self.floating(name)?;
        if info.dtype == DType::F32 && cfg!(target_endian = "little") {
            let pieces = to.par_chunks_mut(PIECE).enumerate();
            return pieces.try_for_each(|(index, piece)| {
                let start = info.bytes.start + (index * PIECE * size_of::<f32>()) as u64;
                self.read_exact(name, bytemuck::cast_slice_mut(piece), start)
            });
        }
        self.read_f32(name, |position, piece| to[position..][..piece.len()].copy_from_slice(piece))
    }

    /// Reads a vector of integers.
    pub(crate) fn read_integers(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.tensors.get(name).ok_or_else(|| Error::internal(format!("there is no tensor `{name}`")))?;
        let &[len] = info.shape.as_slice() else {
            return Err(Error::invalid_model(format!("the tensor `{name}` is {info}, expected is a vector")));
        };
        let mut bytes = AlignedBytes::try_zeroed(len.saturating_mul(info.dtype.size()))?;
        self.read_exact(name, &mut bytes, info.bytes.start)?;
        Tensor::from_aligned(info.dtype, vec![len], bytes)?.to_i64().context(|| format!("the tensor `{name}`"))
    }

    /// The tensor `name`, known to be floating-point, and its conversion.
    fn floating(&self, name: &str) -> Result<(&TensorInfo, Convert)> {
        let info =
            self.tensors.get(name).ok_or_else(|| Error::internal(format!("`{}` has no tensor `{name}`", self.name)))?;
        let convert = to_f32(info.dtype)
            .ok_or_else(|| Error::internal(format!("the tensor `{name}` of {} is not checked", info.dtype)))?;
        Ok((info, convert))
    }

    /// Reads bytes of the tensor `name` from `start`, counted from where the file's data start.
    fn read_exact(&self, name: &str, to: &mut [u8], start: u64) -> Result<()> {
        platform::read_exact_at(&self.file, to, self.data_start + start)
            .map_err(|error| Error::io(error, format!("reading the tensor `{name}` of `{}`", self.name)))
    }
}

/// Appends little-endian bytes to a vector as f32.
type Convert = fn(&[u8], &mut Vec<f32>);

/// The conversion of bytes of type `dtype` to f32, for floating-point types and signed bytes.
pub(crate) fn to_f32(dtype: DType) -> Option<Convert> {
    fn each<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, convert: fn([u8; N]) -> f32) {
        values.extend(bytes.as_chunks().0.iter().map(|&bytes| convert(bytes)));
    }
    match dtype {
        DType::F32 => Some(|bytes, values| each(bytes, values, f32::from_le_bytes)),
        DType::F16 => Some(|bytes, values| each(bytes, values, |bytes| f16::from_le_bytes(bytes).to_f32())),
        DType::F64 => Some(|bytes, values| each(bytes, values, |bytes| f64::from_le_bytes(bytes) as f32)),
        DType::BF16 => Some(|bytes, values| each(bytes, values, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        DType::I8 => Some(|bytes, values| each(bytes, values, |bytes| f32::from(i8::from_le_bytes(bytes)))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
