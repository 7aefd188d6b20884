//! Tensors from a safetensors file, read one at a time.
//!
//! The format: eight bytes of little-endian header length, a JSON object that gives each tensor's type, shape and
//! byte range, then the bytes (<https://huggingface.co/docs/safetensors>). Nothing is allocated by a number from the
//! file before that number is checked against the file's own length.

mod header;

use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};

use half::{bf16, f16};
use rayon::prelude::*;

pub use header::TensorInfo;

use crate::{
    error::{Context, Error, Result},
    import::{
        origin::FileStamp,
        safetensors::header::{parse_header, read_header},
    },
    tensor::{AlignedBytes, DType, Mapping, Tensor},
    threads::platform,
};

/// Bytes read from the file at a time.
const PIECE: usize = 1 << 18;

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub struct SafetensorsFile {
    file: File,
    stamp: FileStamp,
    name: String,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl SafetensorsFile {
    /// Opens a file and checks its header: at most `max_header_bytes` long, every name once, every tensor as long as
    /// its shape says, no holes, no overlaps, and nothing behind the last tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be read, [`ErrorKind::Limit`](crate::ErrorKind::Limit)
    /// past the cap, [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) when a check fails,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an element type that is not known here.
    pub fn open(path: &Path, max_header_bytes: u64) -> Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let in_file = || format!("safetensors file `{name}`");
        let opening = |error| Error::io(error, format!("opening `{name}`"));
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(opening)?.is_file() {
            return Err(Error::invalid_model("is not a regular file").context(in_file()));
        }
        let mut file = File::open(path).map_err(opening)?;
        let metadata = file.metadata().map_err(opening)?;
        let header = read_header(&mut file, metadata.len(), max_header_bytes).context(in_file)?;
        let data_start = 8 + header.len() as u64;
        let tensors = parse_header(&header, metadata.len() - data_start).context(in_file)?;
        Ok(Self { file, stamp: FileStamp::of(path.to_owned(), &metadata), name, data_start, tensors })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// All of the file as memory.
    pub(crate) fn map(&self) -> Result<Arc<Mapping>> {
        Mapping::of(&self.file, self.stamp.len)
            .map(Arc::new)
            .map_err(|error| Error::io(error, format!("mapping `{}`", self.name)))
    }

    /// What keeps tensors of the file from being used where they lie, if anything does.
    pub(crate) fn misfit(&self) -> Option<String> {
        let other = self.tensors.values().find(|info| to_f32(info.dtype).is_some() && info.dtype != DType::F32);
        match other {
            Some(info) => Some(format!("there are tensors of {}, and only f32 can be used in place", info.dtype)),
            None if cfg!(target_endian = "big") => Some("numbers have another byte order here".to_owned()),
            None if !self.data_start.is_multiple_of(align_of::<f32>() as u64) => {
                Some(format!("its numbers start at byte {}, which is no multiple of four", self.data_start))
            }
            None => None,
        }
    }

    /// A tensor of f32 where it lies in the file's `mapping`, unless the machine would read its bytes otherwise: numbers of
    /// another type, byte order or alignment.
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

    pub(crate) fn into_stamp(self) -> FileStamp {
        self.stamp
    }

    /// The file's name, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a floating-point tensor as f32 in pieces of whole rows of its last axis; `take` gets the position of a
    /// piece's first element and the piece.
    pub(crate) fn read_f32(&self, name: &str, mut take: impl FnMut(usize, &[f32])) -> Result<()> {
        let (info, convert) = self.floating(name)?;
        let mut left = info.bytes.end - info.bytes.start;
        let row = (info.shape.last().copied().unwrap_or(1) * info.dtype.size()).max(1);
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

    /// Reads a floating-point tensor as f32 into `to`, which is as long as the tensor; on several threads where it is
    /// called on a pool.
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

    /// A tensor that was found to be floating-point.
    fn floating(&self, name: &str) -> Result<(&TensorInfo, Convert)> {
        let info =
            self.tensors.get(name).ok_or_else(|| Error::internal(format!("`{}` has no tensor `{name}`", self.name)))?;
        let convert = to_f32(info.dtype)
            .ok_or_else(|| Error::internal(format!("the tensor `{name}` of {} is not checked", info.dtype)))?;
        Ok((info, convert))
    }

    /// Reads bytes of the tensor `name` from `start` on, counted from the end of the header.
    fn read_exact(&self, name: &str, to: &mut [u8], start: u64) -> Result<()> {
        platform::read_exact_at(&self.file, to, self.data_start + start)
            .map_err(|error| Error::io(error, format!("reading the tensor `{name}` of `{}`", self.name)))
    }
}

type Convert = fn(&[u8], &mut Vec<f32>);

/// How bytes of that type become f32, if they can.
pub(crate) fn to_f32(dtype: DType) -> Option<Convert> {
    fn each<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, convert: fn([u8; N]) -> f32) {
        values.extend(bytes.as_chunks().0.iter().map(|&bytes| convert(bytes)));
    }
    match dtype {
        DType::F32 => Some(|bytes, values| each(bytes, values, f32::from_le_bytes)),
        DType::F16 => Some(|bytes, values| each(bytes, values, |bytes| f16::from_le_bytes(bytes).to_f32())),
        DType::BF16 => Some(|bytes, values| each(bytes, values, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        _ => None,
    }
}
