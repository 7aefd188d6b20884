//! Named tensors in NumPy's `.npz` files.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

use gristmill::{DType, Tensor, Tensors};
use npyz::{
    NpyHeader, Order, WriterBuilder,
    npz::{NpzArchive, NpzWriter},
};

/// NumPy's names of the types, little-endian.
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

/// Reads all arrays of a file.
pub fn read(path: &Path) -> Result<Tensors, String> {
    let fail = |what: String| format!("{}: {what}", path.display());
    let room = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    let mut archive = NpzArchive::open(path).map_err(|error| fail(error.to_string()))?;
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut tensors = Tensors::new();
    for name in names {
        let array = archive.by_name(&name).map_err(|error| fail(format!("array `{name}`: {error}")))?;
        let array = array.ok_or_else(|| fail(format!("array `{name}` is gone")))?;
        let header = array.header().clone();
        let tensor =
            tensor(&header, array.into_inner(), room).map_err(|what| fail(format!("array `{name}`: {what}")))?;
        if tensors.get(&name).is_some() {
            return Err(fail(format!("array `{name}` is there twice")));
        }
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The array behind `header`, in a file of `room` bytes.
fn tensor(header: &NpyHeader, mut reader: impl Read, room: u64) -> Result<Tensor, String> {
    let descr = header.dtype().descr();
    let descr = descr.trim_matches('\'');
    let known = TYPES.iter().find(|(name, dtype)| {
        // The byte order: `<`, or `|` where there is but one byte.
        descr.strip_prefix('<') == Some(name) || (dtype.size() == 1 && descr.strip_prefix('|') == Some(name))
    });
    let (_, dtype) = known.ok_or_else(|| format!("the type {descr} is not read here; convert the array first"))?;
    let shape: Vec<usize> = header.shape().iter().map(|&dim| dim as usize).collect();
    if header.order() == Order::Fortran && shape.len() > 1 {
        return Err("it is stored column by column; save numpy.ascontiguousarray of it".into());
    }
    let bytes = shape.iter().try_fold(dtype.size(), |product, &dim| product.checked_mul(dim));
    let bytes = bytes.ok_or("its size overflows")?;
    // What is not compressed is read to where it stays; of other sizes the header is not believed before they are there.
    if bytes as u64 <= room && *dtype != DType::Bool {
        let mut tensor = Tensor::zeros(*dtype, shape).map_err(|error| error.to_string())?;
        reader.read_exact(tensor.bytes_mut()).map_err(|error| error.to_string())?;
        return match reader.read(&mut [0]) {
            Ok(0) => Ok(tensor),
            Ok(_) => Err("there are more bytes than its shape has".into()),
            Err(error) => Err(error.to_string()),
        };
    }
    let mut data = Vec::new();
    reader.take(bytes as u64 + 1).read_to_end(&mut data).map_err(|error| error.to_string())?;
    Tensor::from_bytes(*dtype, shape, &data).map_err(|error| error.to_string())
}

/// Writes tensors under a temporary name beside `path`, then renames: no half file is ever left there.
pub fn write<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("writing {}: {error}", path.display());
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let file = File::create(&part).map_err(|error| fail(&error))?;
    let mut writer = NpzWriter::new(BufWriter::new(file));
    for (name, tensor) in tensors {
        let dtype = TYPES.iter().find(|(_, dtype)| *dtype == tensor.dtype());
        let (descr, dtype) = dtype.ok_or_else(|| fail(&format!("NumPy has no type {}", tensor.dtype())))?;
        let order = if dtype.size() == 1 { '|' } else { '<' };
        let descr = format!("{order}{descr}").parse().map_err(|error| fail(&error))?;
        let shape: Vec<u64> = tensor.shape().iter().map(|&dim| dim as u64).collect();
        // The builder would write elements one by one; the header alone and the bytes as they lie are the same file.
        let _unused = writer.array::<u8>(name, Default::default()).map_err(|error| fail(&error))?;
        let header = npyz::WriteOptions::new_header_only()
            .dtype(npyz::DType::Plain(descr))
            .shape(&shape)
            .writer(Vec::new())
            .write_header_only()
            .map_err(|error| fail(&error))?;
        let zip = writer.zip_writer();
        zip.write_all(&header).and_then(|()| zip.write_all(tensor.bytes())).map_err(|error| fail(&error))?;
    }
    let mut file = writer.zip_writer().finish().map_err(|error| fail(&error))?;
    file.flush().map_err(|error| fail(&error))?;
    std::fs::rename(&part, path).map_err(|error| fail(&error))
}
