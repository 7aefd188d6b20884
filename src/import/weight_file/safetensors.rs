//! The header of a safetensors file, checked against the length of the file.
//!
//! The format: the length of the header in eight little-endian bytes, a JSON object with the type, shape and byte range of
//! each tensor, then the bytes (<https://huggingface.co/docs/safetensors>).

use std::{borrow::Cow, collections::BTreeMap, fmt, fs::File, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{
    error::{Context, Error, Result},
    import::{unique_map::UniqueMap, weight_file::TensorInfo},
    tensor::{DType, byte_count},
    threads::platform::read_exact_at,
};

/// Reads the header, of at most `max_header_bytes`, of a file of `file_len` bytes: where the data start, and the tensors,
/// which cover the rest of the file without holes or overlaps.
pub(super) fn read(file: &File, file_len: u64, max_header_bytes: u64) -> Result<(u64, BTreeMap<String, TensorInfo>)> {
    let reading = |error| Error::io(error, "reading the header");
    if file_len < 8 {
        return Err(Error::invalid_model(format!("is {file_len} bytes long, shorter than any header")));
    }
    let mut length = [0; 8];
    read_exact_at(file, &mut length, 0).map_err(reading)?;
    let length = u64::from_le_bytes(length);
    if length > file_len - 8 {
        return Err(Error::invalid_model(format!("has a header of {length} bytes in a file of {file_len}")));
    }
    if length > max_header_bytes {
        return Err(Error::limit(format!("has a header of {length} bytes; the limit is {max_header_bytes}")));
    }
    let mut header = vec![0; usize::try_from(length).map_err(|_| Error::limit("has a header past the address space"))?];
    read_exact_at(file, &mut header, 8).map_err(reading)?;
    let data_start = 8 + length;
    Ok((data_start, parse_header(&header, file_len - data_start)?))
}

/// Parses and checks a header that is followed by `data_len` bytes.
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
    dtype: Cow<'a, str>,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
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
