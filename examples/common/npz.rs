//! Named tensors in NumPy's `.npz` files.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use gristmill::{DType, Tensor, Tensors};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::FileOptions};

/// NumPy's names of the element types, little-endian.
const TYPES: [(&str, DType); 12] = [
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("f2", DType::F16),
    ("i1", DType::I8),
    ("i2", DType::I16),
    ("i4", DType::I32),
    ("i8", DType::I64),
    ("u1", DType::U8),
    ("u2", DType::U16),
    ("u4", DType::U32),
    ("u8", DType::U64),
    ("b1", DType::Bool),
];
const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of an array's header at most: NumPy itself reads no longer ones, unless it is asked to.
const MOST_HEADER: usize = 10_000;

/// The header of an array.
pub struct Header {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// The characters that each string has room for; 0 of other types.
    pub width: usize,
}

/// Bytes of a character of a string.
const CHARACTER: usize = 4;

impl Header {
    /// The number of rows along the first axis, and the bytes of one row; `None` for a scalar or on overflow.
    pub fn rows(&self) -> Option<(usize, usize)> {
        let (&rows, row) = self.shape.split_first()?;
        let bytes = row.iter().try_fold(self.element()?, |product, &dim| product.checked_mul(dim))?;
        Some((rows, bytes))
    }
}

impl Header {
    /// The bytes of an element in the file.
    fn element(&self) -> Option<usize> {
        match self.dtype {
            DType::String => self.width.checked_mul(CHARACTER),
            dtype => Some(dtype.size()),
        }
    }

    /// A tensor of `shape` whose elements lie in the file as `bytes`.
    fn tensor(&self, shape: Vec<usize>, bytes: &[u8]) -> Result<Tensor, String> {
        let made = match self.dtype {
            DType::String => Tensor::from_strings(shape.clone(), &texts(bytes, self.width, shape.iter().product())?),
            dtype => Tensor::from_bytes(dtype, shape, bytes),
        };
        made.map_err(|error| error.to_string())
    }
}

/// The strings of an array: characters of four bytes, filled up with zeros.
fn texts(bytes: &[u8], width: usize, count: usize) -> Result<Vec<String>, String> {
    if width == 0 {
        return Ok(vec![String::new(); count]);
    }
    let text = |bytes: &[u8]| {
        let codes = bytes.chunks_exact(CHARACTER).map(|code| u32::from_le_bytes([code[0], code[1], code[2], code[3]]));
        let codes: Vec<u32> = codes.collect();
        let end = codes.iter().rposition(|&code| code != 0).map_or(0, |last| last + 1);
        let characters = codes[..end].iter().map(|&code| char::from_u32(code));
        characters.collect::<Option<String>>().ok_or_else(|| "it holds what is no character".to_owned())
    };
    bytes.chunks_exact(width * CHARACTER).map(text).collect()
}

/// An array whose elements have not been read yet.
struct Array<R> {
    header: Header,
    reader: R,
    /// The elements of a block, in memory that the next one uses again.
    bytes: Vec<u8>,
}

type Archive = ZipArchive<BufReader<File>>;

fn open(path: &Path) -> Result<Archive, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| fail(&error))?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| fail(&error))
}

/// The names of the arrays; a duplicate is an error.
fn names(archive: &mut Archive, path: &Path) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|error| format!("{}: {error}", path.display()))?;
        let Some(name) = file.name().strip_suffix(".npy") else { continue };
        if names.iter().any(|known| known == name) {
            return Err(format!("{}: array `{name}` appears twice", path.display()));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The headers of the arrays in a file.
pub fn headers(path: &Path) -> Result<Vec<Header>, String> {
    let mut archive = open(path)?;
    names(&mut archive, path)?.iter().map(|name| Ok(array(&mut archive, path, name)?.header)).collect()
}

/// Reads all arrays of a file into memory.
pub fn read(path: &Path) -> Result<Tensors, String> {
    let fail = |what: String| format!("{}: {what}", path.display());
    let room = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    let mut archive = open(path)?;
    let mut tensors = Tensors::new();
    for name in names(&mut archive, path)? {
        let tensor = tensor(array(&mut archive, path, &name)?, room);
        let tensor = tensor.map_err(|what| fail(format!("array `{name}`: {what}")))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// Hands `take` the arrays of a file, which has these `headers`, in blocks of so many rows, each read when it is asked
/// for. All arrays have as many rows, at least one, and none holds booleans.
pub fn in_blocks<T>(
    path: &Path,
    headers: &[Header],
    rows: usize,
    take: impl FnOnce(&mut dyn Iterator<Item = Result<Tensors, String>>) -> T,
) -> Result<T, String> {
    // A reader for each: an array lies behind the other.
    let mut archives = headers.iter().map(|_| open(path)).collect::<Result<Vec<_>, _>>()?;
    let arrays = archives.iter_mut().zip(headers).map(|(archive, header)| array(archive, path, &header.name));
    let mut arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let total = headers.first().and_then(Header::rows).map_or(0, |(rows, _)| rows);
    let mut blocks = (0..total).step_by(rows.max(1)).map(|start| {
        let count = rows.max(1).min(total - start);
        let mut block = Tensors::new();
        for Array { header, reader, bytes } in &mut arrays {
            let shape: Vec<usize> = std::iter::once(count).chain(header.shape[1..].iter().copied()).collect();
            let row = header.rows().map_or(0, |(_, bytes)| bytes);
            bytes.resize(count.checked_mul(row).ok_or("its size overflows")?, 0);
            let mut read = reader.read_exact(bytes);
            if start + count == total {
                read = read.and_then(|()| at_end(reader));
            }
            let fail = |what: String| format!("{}: array `{}`: {what}", path.display(), header.name);
            read.map_err(|error| fail(error.to_string()))?;
            block.insert(header.name.as_str(), header.tensor(shape, bytes).map_err(fail)?);
        }
        Ok(block)
    });
    Ok(take(&mut blocks))
}

fn array<'a>(archive: &'a mut Archive, path: &Path, name: &str) -> Result<Array<impl Read + use<'a>>, String> {
    let fail = |what: String| format!("{}: array `{name}`: {what}", path.display());
    let mut reader = archive.by_name(&format!("{name}.npy")).map_err(|error| fail(error.to_string()))?;
    let text = header_text(&mut reader).map_err(fail)?;
    let (dtype, width, shape) = described(&text).map_err(fail)?;
    Ok(Array { header: Header { name: name.to_owned(), dtype, shape, width }, reader, bytes: Vec::new() })
}

/// The dictionary before the elements: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn header_text(reader: &mut impl Read) -> Result<String, String> {
    let mut bytes = |count: usize| {
        let mut bytes = vec![0; count];
        reader.read_exact(&mut bytes).map(|()| bytes).map_err(|error| format!("its header: {error}"))
    };
    let start = bytes(MAGIC.len() + 2)?;
    let len = match start.strip_prefix(MAGIC) {
        Some([1, _]) => bytes(2)?,
        Some([2 | 3, _]) => bytes(4)?,
        Some([version, _]) => return Err(format!("version {version} of the format is not read here")),
        _ => return Err("it is no NumPy array".into()),
    };
    let len = len.iter().rev().fold(0, |len, &byte| len << 8 | usize::from(byte));
    if len > MOST_HEADER {
        return Err(format!("its header has {len} bytes"));
    }
    String::from_utf8(bytes(len)?).map_err(|error| format!("its header: {error}"))
}

/// The type, the width of strings and the shape in a header.
fn described(header: &str) -> Result<(DType, usize, Vec<usize>), String> {
    let bad = || format!("its header is {}", header.trim_end());
    let entry = |key| header.split_once(key).map(|(_, value)| value.trim_start()).ok_or_else(bad);
    let descr = entry("'descr':")?;
    let descr = descr.strip_prefix('\'').and_then(|descr| descr.split_once('\'')).map_or(descr, |(descr, _)| descr);
    let known = TYPES.iter().find(|(name, dtype)| {
        // The byte order: `<`, or `|` for single bytes.
        descr.strip_prefix('<') == Some(name) || (dtype.size() == 1 && descr.strip_prefix('|') == Some(name))
    });
    // Strings of so many characters; objects, which may be strings too, are no data but code.
    let width = descr.strip_prefix("<U").map(str::parse).transpose().map_err(|_| bad())?;
    let known = width.map(|_: usize| &("U", DType::String)).or(known);
    let (_, dtype) = known.ok_or_else(|| format!("the type {descr} is not read here; convert the array first"))?;
    let shape = entry("'shape':")?.strip_prefix('(').and_then(|shape| shape.split_once(')'));
    let (shape, _) = shape.ok_or_else(bad)?;
    // A one-element tuple ends with a comma.
    let dims = shape.strip_suffix(',').unwrap_or(shape).split(',').filter(|_| !shape.is_empty());
    let shape = dims.map(|dim| dim.trim().parse().map_err(|_| bad())).collect::<Result<Vec<_>, _>>()?;
    let order = entry("'fortran_order':")?;
    if !order.starts_with("False") && shape.len() > 1 {
        return Err("it is stored in column-major order; save numpy.ascontiguousarray of it".into());
    }
    Ok((*dtype, width.unwrap_or(0), shape))
}

/// Reads a whole array from a file of `room` bytes.
fn tensor(array: Array<impl Read>, room: u64) -> Result<Tensor, String> {
    let Array { header, mut reader, .. } = array;
    let (dtype, shape) = (header.dtype, header.shape.clone());
    let element = header.element().ok_or("its size overflows")?;
    let bytes = shape.iter().try_fold(element, |product, &dim| product.checked_mul(dim));
    let bytes = bytes.ok_or("its size overflows")?;
    // Bytes that fit the file are read in place; a larger size is not trusted before as many bytes have been read.
    if bytes as u64 <= room && !matches!(dtype, DType::Bool | DType::String) {
        let mut tensor = Tensor::zeros(dtype, shape).map_err(|error| error.to_string())?;
        let read = reader.read_exact(tensor.bytes_mut()).and_then(|()| at_end(&mut reader));
        return read.map(|()| tensor).map_err(|error| error.to_string());
    }
    let mut data = Vec::new();
    reader.take(bytes as u64 + 1).read_to_end(&mut data).map_err(|error| error.to_string())?;
    if data.len() != bytes {
        return Err(format!("{} bytes, where its shape needs {bytes}", data.len()));
    }
    header.tensor(shape, &data)
}

/// Checks that no bytes follow the last element; reading to the end also verifies the checksum.
fn at_end(reader: &mut impl Read) -> io::Result<()> {
    match reader.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes than its shape needs")),
    }
}

/// The header that NumPy writes before elements, padded to a multiple of 64 bytes.
fn header_bytes(descr: &str, shape: &[usize]) -> Result<Vec<u8>, String> {
    let dims = format!("{shape:?}");
    let comma = if shape.len() == 1 { "," } else { "" };
    let dims = dims.trim_matches(['[', ']']);
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}{comma}), }}");
    let start = MAGIC.len() + 4;
    let end = (start + text.len() + 1).next_multiple_of(64);
    let len = u16::try_from(end - start).map_err(|_| format!("{} dimensions are too many", shape.len()))?;
    let mut bytes = [MAGIC, &[1, 0], &len.to_le_bytes(), text.as_bytes()].concat();
    bytes.resize(end - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// Appends the elements of a tensor to those of an array; strings get wider where they must.
pub fn append(header: &mut Header, bytes: &mut Vec<u8>, tensor: &Tensor) {
    let Ok(texts) = tensor.as_strings() else { return bytes.extend_from_slice(tensor.bytes()) };
    let widest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    if widest > header.width {
        let old = header.width * CHARACTER;
        let strings: Vec<Vec<u8>> = bytes.chunks_exact(old.max(1)).map(<[u8]>::to_vec).collect();
        bytes.clear();
        header.width = widest;
        for mut string in strings {
            string.resize(widest * CHARACTER, 0);
            bytes.extend(string);
        }
    }
    for text in texts {
        let end = bytes.len() + header.width * CHARACTER;
        bytes.extend(text.chars().flat_map(|character| u32::from(character).to_le_bytes()));
        bytes.resize(end, 0);
    }
}

/// Writes arrays, their elements as they lie in memory.
pub fn write<'a, W: Write + Seek>(out: W, arrays: impl IntoIterator<Item = (&'a Header, &'a [u8])>) -> io::Result<W> {
    let mut writer = ZipWriter::new(BufWriter::new(out));
    for (Header { name, dtype, shape, width }, bytes) in arrays {
        let known = TYPES.iter().find(|(_, known)| known == dtype).map(|(descr, _)| (*descr).to_owned());
        let known = if *dtype == DType::String { Some(format!("U{width}")) } else { known };
        let descr = known.ok_or_else(|| io::Error::other(format!("NumPy has no type {dtype}")))?;
        let order = if dtype.size() == 1 { '|' } else { '<' };
        let header = header_bytes(&format!("{order}{descr}"), shape).map_err(io::Error::other)?;
        // As NumPy's `savez` does it.
        let stored = FileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
        writer.start_file(format!("{name}.npy"), stored)?;
        writer.write_all(&header)?;
        writer.write_all(bytes)?;
    }
    writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)
}
