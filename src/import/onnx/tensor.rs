//! Conversion of a `TensorProto` to a tensor.

mod packed;

use crate::{
    error::{Error, Result},
    import::onnx::{external::External, proto::TensorProto, wire::Scalar},
    shape::MAX_ELEMENTS,
    tensor::{DType, SmallType, Tensor, byte_count},
};

/// An element type of ONNX.
enum ElementType {
    /// The number 0, which means that no type is given.
    Undefined,
    /// A supported type; `TensorProto` stores its typed data in the field `field`.
    Read { dtype: DType, field: u32, scalar: Scalar },
    /// An unsupported type with its name.
    Unsupported(&'static str),
}

const fn read_as(dtype: DType, field: u32, scalar: Scalar) -> ElementType {
    ElementType::Read { dtype, field, scalar }
}

const fn small(small: SmallType) -> ElementType {
    read_as(DType::Small(small), 5, Scalar::Varint)
}

/// The field of `TensorProto` that holds strings.
const STRINGS: u32 = 6;

/// ONNX's element types, indexed by their number in files.
const ELEMENT_TYPES: [ElementType; 29] = [
    ElementType::Undefined,
    read_as(DType::F32, 4, Scalar::Fixed32),
    read_as(DType::U8, 5, Scalar::Varint),
    read_as(DType::I8, 5, Scalar::Varint),
    read_as(DType::U16, 5, Scalar::Varint),
    read_as(DType::I16, 5, Scalar::Varint),
    read_as(DType::I32, 5, Scalar::Varint),
    read_as(DType::I64, 7, Scalar::Varint),
    // Its scalar is never read.
    read_as(DType::String, STRINGS, Scalar::Varint),
    read_as(DType::Bool, 5, Scalar::Varint),
    read_as(DType::F16, 5, Scalar::Varint),
    read_as(DType::F64, 10, Scalar::Fixed64),
    read_as(DType::U32, 11, Scalar::Varint),
    read_as(DType::U64, 11, Scalar::Varint),
    ElementType::Unsupported("complex64"),
    ElementType::Unsupported("complex128"),
    read_as(DType::BF16, 5, Scalar::Varint),
    small(SmallType::F8E4M3FN),
    small(SmallType::F8E4M3FNUZ),
    small(SmallType::F8E5M2),
    small(SmallType::F8E5M2FNUZ),
    small(SmallType::U4),
    small(SmallType::I4),
    small(SmallType::F4E2M1),
    small(SmallType::F8E8M0),
    small(SmallType::U2),
    small(SmallType::I2),
    small(SmallType::F6E2M3),
    small(SmallType::F6E3M2),
];

/// The element type with the number `code`.
pub(super) fn dtype(code: i32) -> Result<DType> {
    match usize::try_from(code).ok().and_then(|code| ELEMENT_TYPES.get(code)) {
        Some(ElementType::Read { dtype, .. }) => Ok(*dtype),
        Some(ElementType::Undefined) => Err(Error::invalid_model("the element type is missing")),
        Some(ElementType::Unsupported(name)) => {
            Err(Error::unsupported(format!("the element type {name} is not built here")))
        }
        None => Err(Error::invalid_model(format!("there is no element type {code}"))),
    }
}

/// Converts a dimension from the file to a size.
pub(super) fn size(dim: i64) -> Result<usize> {
    usize::try_from(dim).map_err(|_| Error::invalid_model(format!("a dimension is {dim}")))
}

/// Reads a tensor from the model file or from its file of external data.
pub(super) fn read(proto: &TensorProto<'_>, external: &mut External<'_>) -> Result<Tensor> {
    let dtype = dtype(proto.data_type)?;
    let shape = proto.dims.iter().map(|&dim| size(dim)).collect::<Result<Vec<_>>>()?;
    if dtype == DType::String {
        return strings(shape, proto);
    }
    let bytes = byte_count(dtype, &shape).filter(|bytes| bytes / dtype.size() <= MAX_ELEMENTS);
    let bytes = bytes
        .ok_or_else(|| Error::limit(format!("a tensor {dtype}{shape:?} is larger than {MAX_ELEMENTS} elements")))?;
    if let DType::Small(small) = dtype
        && small.bits() < 8
    {
        return packed::read(small, shape, bytes, proto, external);
    }
    match place(proto)? {
        Place::Outside => external.read(dtype, shape, bytes, &proto.external),
        Place::Raw(raw) => from_raw(dtype, shape, bytes, raw),
        Place::Typed(field) => from_typed(dtype, shape, bytes, field, proto),
        Place::Nowhere if bytes == 0 => Tensor::zeros(dtype, shape),
        Place::Nowhere => Err(Error::invalid_model(format!("a tensor {dtype}{shape:?} has no data"))),
    }
}

/// Where the data of a tensor are.
enum Place<'a> {
    /// In another file.
    Outside,
    /// In the file as bytes.
    Raw(&'a [u8]),
    /// In the file, in the field of that number.
    Typed(u32),
    Nowhere,
}

fn place<'a>(proto: &TensorProto<'a>) -> Result<Place<'a>> {
    let outside = match proto.location {
        None | Some(0) => false,
        Some(1) => true,
        Some(other) => return Err(Error::invalid_model(format!("there is no data location {other}"))),
    };
    match (outside, proto.raw, proto.typed) {
        (true, None, None) => Ok(Place::Outside),
        (true, _, _) => Err(Error::invalid_model("a tensor has data both in the file and outside it")),
        (false, _, _) if !proto.external.is_empty() => {
            Err(Error::invalid_model("a tensor names external data but says that its data are in the file"))
        }
        (false, Some(_), Some(_)) => Err(Error::invalid_model("a tensor has both raw and typed data")),
        (false, Some(raw), None) => Ok(Place::Raw(raw)),
        (false, None, Some(field)) => Ok(Place::Typed(field)),
        (false, None, None) => Ok(Place::Nowhere),
    }
}

/// Reads a tensor of strings, which are in the model file in any case.
fn strings(shape: Vec<usize>, proto: &TensorProto<'_>) -> Result<Tensor> {
    let elsewhere = proto.raw.is_some() || !proto.external.is_empty() || !matches!(proto.location, None | Some(0));
    if elsewhere || !matches!(proto.typed, None | Some(STRINGS)) {
        return Err(Error::invalid_model("a tensor of strings has its data in a field of another type"));
    }
    let mut texts = Vec::new();
    proto.texts(STRINGS, |text| texts.push(text))?;
    if byte_count(DType::String, &shape) != texts.len().checked_mul(DType::String.size()) {
        let given = texts.len();
        return Err(Error::invalid_model(format!("a tensor string{shape:?} has {given} strings")));
    }
    Tensor::from_strings(shape, &texts)
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

/// Converts little-endian numbers to the byte order of the machine, and checks booleans.
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
    let typed = ELEMENT_TYPES.iter().find_map(|element| match *element {
        ElementType::Read { dtype: other, field, scalar } if other == dtype => Some((field, scalar)),
        _ => None,
    });
    let (expected, scalar) = typed.ok_or_else(|| Error::internal(format!("{dtype} is no element type of ONNX")))?;
    if field != expected {
        return Err(Error::invalid_model(format!("a tensor of {dtype} has its data in a field of another type")));
    }
    let size = dtype.size();
    // Counts the numbers before it allocates the size that the shape claims.
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

/// Whether `dtype` can represent a number.
///
/// `bits` is an `i64`, or a `u64` for unsigned 64-bit types.
fn fits(dtype: DType, bits: u64) -> bool {
    let value = bits.cast_signed();
    match dtype {
        DType::I8 => i8::try_from(value).is_ok(),
        DType::I16 => i16::try_from(value).is_ok(),
        DType::I32 => i32::try_from(value).is_ok(),
        DType::U8 | DType::Small(_) => u8::try_from(value).is_ok(),
        DType::U16 | DType::F16 | DType::BF16 => u16::try_from(value).is_ok(),
        DType::U32 => u32::try_from(value).is_ok(),
        DType::Bool => bits <= 1,
        DType::F32 | DType::F64 | DType::I64 | DType::U64 => true,
        DType::String => false,
    }
}
