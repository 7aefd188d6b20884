//! Tensors from a safetensors file, read one at a time.
//!
//! The format: eight bytes of little-endian header length, a JSON object that gives each tensor's type, shape and
//! byte range, then the bytes (<https://huggingface.co/docs/safetensors>). Nothing is allocated by a number from the
//! file before that number is checked against the file's own length.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    fs::File,
    io::Read,
    marker::PhantomData,
    ops::Range,
    path::Path,
    sync::Arc,
};

use half::{bf16, f16};
use rayon::prelude::*;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{
    error::{Context, Error, Result},
    import::FileStamp,
    tensor::{AlignedBytes, DType, Mapping, Tensor, byte_count},
    threads::platform,
};

/// Bytes read from the file at a time.
const PIECE: usize = 1 << 18;

/// Type, shape and place of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The elements' type.
    pub dtype: DType,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Where its bytes lie, counted from the end of the header.
    bytes: Range<u64>,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

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

fn read_header(file: &mut File, file_len: u64, max_header_bytes: u64) -> Result<Vec<u8>> {
    let reading = |error| Error::io(error, "reading the header");
    if file_len < 8 {
        return Err(Error::invalid_model(format!("is {file_len} bytes long, shorter than any header")));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(reading)?;
    let length = u64::from_le_bytes(length);
    if length > file_len - 8 {
        return Err(Error::invalid_model(format!("has a header of {length} bytes in a file of {file_len}")));
    }
    if length > max_header_bytes {
        return Err(Error::limit(format!("has a header of {length} bytes; the limit is {max_header_bytes}")));
    }
    let length = usize::try_from(length).map_err(|_| Error::limit("has a header past the address space"))?;
    let mut header = vec![0; length];
    file.read_exact(&mut header).map_err(reading)?;
    Ok(header)
}

/// Parses and checks a header in front of `data_len` bytes.
fn parse_header(header: &[u8], data_len: u64) -> Result<BTreeMap<String, TensorInfo>> {
    let header: Header<'_> = serde_json::from_slice(header)
        .map_err(|error| Error::invalid_model(format!("has a header that does not parse: {error}")))?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in header.tensors.0 {
        let of_tensor = || format!("tensor `{name}`");
        let dtype = dtype_of(&entry.dtype).context(of_tensor)?;
        let [start, end] = entry.data_offsets;
        let length = byte_count(dtype, &entry.shape).and_then(|length| u64::try_from(length).ok());
        if length.is_none() || end.checked_sub(start) != length {
            let shape = &entry.shape;
            let message = format!("the bytes {start} to {end} do not hold {dtype}{shape:?}");
            return Err(Error::invalid_model(message).context(of_tensor()));
        }
        tensors.insert(name, TensorInfo { dtype, shape: entry.shape, bytes: start..end });
    }
    let mut places: Vec<(&Range<u64>, &String)> = tensors.iter().map(|(name, info)| (&info.bytes, name)).collect();
    places.sort_unstable_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut end = 0;
    for (bytes, name) in places {
        if bytes.start != end {
            let what = if bytes.start < end { "overlaps another" } else { "leaves a hole before it" };
            return Err(Error::invalid_model(format!("tensor `{name}` {what}, at byte {}", bytes.start)));
        }
        end = bytes.end;
    }
    if end != data_len {
        return Err(Error::invalid_model(format!("the tensors take {end} bytes, the file holds {data_len}")));
    }
    Ok(tensors)
}

fn dtype_of(name: &str) -> Result<DType> {
    Ok(match name {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "I64" => DType::I64,
        "I32" => DType::I32,
        "I16" => DType::I16,
        "I8" => DType::I8,
        "U64" => DType::U64,
        "U32" => DType::U32,
        "U16" => DType::U16,
        "U8" => DType::U8,
        "BOOL" => DType::Bool,
        _ => return Err(Error::unsupported(format!("the element type `{name}` is not supported"))),
    })
}

struct Header<'a> {
    tensors: UniqueMap<TensorEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorEntry<'a> {
    #[serde(borrow)]
    dtype: std::borrow::Cow<'a, str>,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// An object in which no name comes twice.
#[derive(Debug)]
pub(crate) struct UniqueMap<T>(pub(crate) BTreeMap<String, T>);

impl<T> UniqueMap<T> {
    fn insert<E: serde::de::Error>(&mut self, name: String, value: T) -> Result<(), E> {
        match self.0.entry(name) {
            Entry::Vacant(slot) => slot.insert(value),
            Entry::Occupied(slot) => return Err(E::custom(format!("the name `{}` comes twice", slot.key()))),
        };
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for UniqueMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = UniqueMap<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = UniqueMap(BTreeMap::new());
                while let Some((name, value)) = map.next_entry()? {
                    entries.insert(name, value)?;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Header<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut header = Header { tensors: UniqueMap(BTreeMap::new()) };
                let mut notes: Option<UniqueMap<String>> = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name != "__metadata__" {
                        header.tensors.insert(name, map.next_value()?)?;
                    } else if notes.replace(map.next_value()?).is_some() {
                        return Err(A::Error::custom("the name `__metadata__` comes twice"));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str, data_len: u64) -> Result<BTreeMap<String, TensorInfo>> {
        parse_header(header.as_bytes(), data_len)
    }

    #[test]
    fn a_header_is_read() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},
            "a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},
            "empty":{"dtype":"F16","shape":[0,4],"data_offsets":[8,8]}}  "#;
        let tensors = parse(header, 32).unwrap();
        assert_eq!(tensors["b"], TensorInfo { dtype: DType::F32, shape: vec![2, 3], bytes: 8..32 });
        assert_eq!(tensors.len(), 3);
    }

    #[test]
    fn every_malformation_is_named() {
        let one = |entry: &str| format!(r#"{{"a":{{{entry}}}}}"#);
        let cases = [
            (r#"{"a":1"#.to_owned(), "does not parse"),
            ("[]".to_owned(), "object of tensors"),
            (one(r#""dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1"#), "more"),
            (one(r#""dtype":"F32","shape":[1]"#), "data_offsets"),
            (one(r#""dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]"#), "duplicate"),
            (one(r#""dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]"#), "F8_E4M3"),
            (one(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#), "do not hold"),
            (one(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#), "do not hold"),
            (one(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#), "does not parse"),
            (one(r#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]"#), "do not hold"),
            (one(r#""dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551616]"#), "parse"),
            (one(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#), "hole"),
            (
                r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#
                    .to_owned(),
                "overlaps",
            ),
            (
                r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#
                    .to_owned(),
                "comes twice",
            ),
            (r#"{"__metadata__":{"x":"1","x":"2"}}"#.to_owned(), "comes twice"),
            (r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(), "comes twice"),
            ("{}".to_owned(), "the file holds 4"),
            ("[".repeat(100_000), "does not parse"),
        ];
        for (header, expected) in cases {
            let error = parse(&header, 4).expect_err(&header[..header.len().min(200)]).to_string();
            assert!(error.contains(expected), "{error} should say {expected}");
        }
    }
}
