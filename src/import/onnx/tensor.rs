//! A `TensorProto` as a tensor: its type, its size, and the one place where its numbers are.

use crate::{
    error::{Error, Result},
    import::onnx::{external::External, proto::TensorProto, wire::Scalar},
    shape::MAX_ELEMENTS,
    tensor::{DType, Tensor, byte_count},
};

/// The element type that ONNX numbers `code`.
pub(super) fn dtype(code: i32) -> Result<DType> {
    const UNSUPPORTED: [(i32, &str); 14] = [
        (8, "string"),
        (14, "complex64"),
        (15, "complex128"),
        (17, "float8e4m3fn"),
        (18, "float8e4m3fnuz"),
        (19, "float8e5m2"),
        (20, "float8e5m2fnuz"),
        (21, "uint4"),
        (22, "int4"),
        (23, "float4e2m1"),
        (24, "float8e8m0"),
        (25, "uint2"),
        (26, "int2"),
        (0, "undefined"),
    ];
    Ok(match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        code => {
            return Err(match UNSUPPORTED.iter().find(|(other, _)| *other == code) {
                Some((0, _)) => Error::invalid_model("the element type is missing"),
                Some((_, name)) => Error::unsupported(format!("the element type {name} is not built here")),
                None => Error::invalid_model(format!("there is no element type {code}")),
            });
        }
    })
}

/// A dimension from the file as a size.
pub(super) fn size(dim: i64) -> Result<usize> {
    usize::try_from(dim).map_err(|_| Error::invalid_model(format!("a dimension is {dim}")))
}

/// Reads the tensor, from the file itself or from the file that it names.
pub(super) fn read(proto: &TensorProto<'_>, external: &mut External<'_>) -> Result<Tensor> {
    let dtype = dtype(proto.data_type)?;
    let shape = proto.dims.iter().map(|&dim| size(dim)).collect::<Result<Vec<_>>>()?;
    let bytes = byte_count(dtype, &shape).filter(|bytes| bytes / dtype.size() <= MAX_ELEMENTS);
    let bytes = bytes
        .ok_or_else(|| Error::limit(format!("a tensor {dtype}{shape:?} is larger than {MAX_ELEMENTS} elements")))?;
    let outside = match proto.location {
        None | Some(0) => false,
        Some(1) => true,
        Some(other) => return Err(Error::invalid_model(format!("there is no data location {other}"))),
    };
    match (outside, proto.raw, proto.typed) {
        (true, None, None) => external.read(dtype, shape, bytes, &proto.external),
        (true, _, _) => Err(Error::invalid_model("a tensor has data both in the file and outside it")),
        (false, _, _) if !proto.external.is_empty() => {
            Err(Error::invalid_model("a tensor names external data but says that its data are in the file"))
        }
        (false, Some(_), Some(_)) => Err(Error::invalid_model("a tensor has both raw and typed data")),
        (false, Some(raw), None) => from_raw(dtype, shape, bytes, raw),
        (false, None, Some(field)) => from_typed(dtype, shape, bytes, field, proto),
        (false, None, None) if bytes == 0 => Tensor::zeros(dtype, shape),
        (false, None, None) => Err(Error::invalid_model(format!("a tensor {dtype}{shape:?} has no data"))),
    }
}

fn from_raw(dtype: DType, shape: Vec<usize>, bytes: usize, raw: &[u8]) -> Result<Tensor> {
    if raw.len() != bytes {
        let given = raw.len();
        return Err(Error::invalid_model(format!("a tensor {dtype}{shape:?} takes {bytes} bytes but has {given}")));
    }
    let mut tensor = Tensor::zeros(dtype, shape)?;
    tensor.bytes_mut().copy_from_slice(raw);
    checked(tensor)
}

/// Numbers in the file's byte order (little-endian) as the machine's, booleans checked.
pub(super) fn checked(mut tensor: Tensor) -> Result<Tensor> {
    if cfg!(target_endian = "big") {
        let size = tensor.dtype().size();
        tensor.bytes_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if tensor.dtype() == DType::Bool && tensor.bytes().iter().any(|&byte| byte > 1) {
        return Err(Error::invalid_model("a boolean tensor holds a byte that is neither 0 nor 1"));
    }
    Ok(tensor)
}

fn from_typed(dtype: DType, shape: Vec<usize>, bytes: usize, field: u32, proto: &TensorProto<'_>) -> Result<Tensor> {
    let (expected, scalar) = match dtype {
        DType::F32 => (4, Scalar::Fixed32),
        DType::F64 => (10, Scalar::Fixed64),
        DType::I64 => (7, Scalar::Varint),
        DType::U32 | DType::U64 => (11, Scalar::Varint),
        _ => (5, Scalar::Varint),
    };
    if field != expected {
        return Err(Error::invalid_model(format!("a tensor of {dtype} has its data in a field of another type")));
    }
    let size = dtype.size();
    // Counted before anything is allocated by what the shape claims.
    let mut count = 0usize;
    proto.numbers(field, scalar, |_| {
        count += 1;
        Ok(())
    })?;
    if Some(bytes) != count.checked_mul(size) {
        let wanted = bytes / size;
        return Err(Error::invalid_model(format!("a tensor {dtype}{shape:?} takes {wanted} numbers but has {count}")));
    }
    let mut tensor = Tensor::zeros(dtype, shape)?;
    let mut slots = tensor.bytes_mut().chunks_exact_mut(size);
    proto.numbers(field, scalar, |bits| {
        if !fits(dtype, bits) {
            let value = bits.cast_signed();
            return Err(Error::invalid_model(format!("a tensor of {dtype} holds {value}, which is out of range")));
        }
        if let Some(slot) = slots.next() {
            slot.copy_from_slice(&bits.to_le_bytes()[..size]);
        }
        Ok(())
    })?;
    checked(tensor)
}

/// Whether a number, given as the bits of an `i64` for all but unsigned 64-bit ones, is one of the type.
fn fits(dtype: DType, bits: u64) -> bool {
    let value = bits.cast_signed();
    match dtype {
        DType::I8 => i8::try_from(value).is_ok(),
        DType::I16 => i16::try_from(value).is_ok(),
        DType::I32 => i32::try_from(value).is_ok(),
        DType::U8 => u8::try_from(value).is_ok(),
        DType::U16 | DType::F16 | DType::BF16 => u16::try_from(value).is_ok(),
        DType::U32 => u32::try_from(value).is_ok(),
        DType::Bool => bits <= 1,
        DType::F32 | DType::F64 | DType::I64 | DType::U64 => true,
    }
}
