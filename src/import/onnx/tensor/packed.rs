//! Tensors of elements of less than eight bits, several of which share a byte.

use crate::{
    error::{Error, Result},
    import::onnx::{
        external::External,
        proto::TensorProto,
        tensor::{Place, place},
        wire::Scalar,
    },
    tensor::{DType, SmallType, Tensor},
};

/// The field of `TensorProto` with elements of less than 32 bits as numbers.
const NUMBERS: u32 = 5;

/// Reads a tensor of `count` elements.
///
/// Bits follow one another from the lowest of the first byte on; those past the last element have no
/// meaning.
pub(super) fn read(
    small: SmallType,
    shape: Vec<usize>,
    count: usize,
    proto: &TensorProto<'_>,
    external: &mut External<'_>,
) -> Result<Tensor> {
    // No overflow: elements are limited.
    let size = (count * small.bits()).div_ceil(8);
    match place(proto)? {
        Place::Outside => {
            let bytes = external.read(DType::U8, vec![size], size, &proto.external)?;
            unpacked(small, shape, count, bytes.bytes())
        }
        Place::Raw(raw) if raw.len() == size => unpacked(small, shape, count, raw),
        Place::Raw(raw) => {
            let given = raw.len();
            Err(Error::invalid_model(format!("a tensor {small}{shape:?} takes {size} bytes but has {given}")))
        }
        Place::Typed(NUMBERS) => typed(small, shape, count, size, proto),
        Place::Typed(_) => {
            Err(Error::invalid_model(format!("a tensor of {small} has its data in a field of another type")))
        }
        Place::Nowhere if count == 0 => Tensor::zeros(DType::Small(small), shape),
        Place::Nowhere => Err(Error::invalid_model(format!("a tensor {small}{shape:?} has no data"))),
    }
}

/// Reads numbers that are bytes of packed elements, or one element each where these have six bits.
fn typed(small: SmallType, shape: Vec<usize>, count: usize, size: usize, proto: &TensorProto<'_>) -> Result<Tensor> {
    let is_packed = small.bits() != 6;
    let due = if is_packed { size } else { count };
    // Counts the numbers before it keeps them.
    let mut given = 0usize;
    proto.numbers(NUMBERS, Scalar::Varint, |_| {
        given += 1;
        Ok(())
    })?;
    if given != due {
        return Err(Error::invalid_model(format!("a tensor {small}{shape:?} takes {due} numbers but has {given}")));
    }
    let mut bytes = Vec::with_capacity(due);
    proto.numbers(NUMBERS, Scalar::Varint, |bits| {
        let fits = u8::try_from(bits).ok().filter(|&byte| is_packed || small.holds(byte));
        bytes.push(fits.ok_or_else(|| {
            let value = bits.cast_signed();
            Error::invalid_model(format!("a tensor of {small} holds {value}, which is out of range"))
        })?);
        Ok(())
    })?;
    if is_packed {
        unpacked(small, shape, count, &bytes)
    } else {
        Tensor::from_bytes(DType::Small(small), shape, &bytes)
    }
}

/// The elements of packed bytes.
fn unpacked(small: SmallType, shape: Vec<usize>, count: usize, packed: &[u8]) -> Result<Tensor> {
    let mut tensor = Tensor::zeros(DType::Small(small), shape)?;
    debug_assert_eq!(tensor.len(), count);
    for (index, to) in tensor.bytes_mut().iter_mut().enumerate() {
        let bit = index * small.bits();
        let byte = |at: usize| u16::from(packed.get(at).copied().unwrap_or_default());
        let bits = (byte(bit / 8) | byte(bit / 8 + 1) << 8) >> (bit % 8);
        *to = small.byte(bits as u8);
    }
    Ok(tensor)
}
