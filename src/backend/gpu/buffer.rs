//! Encoding of elements on a device, in 32 bits each.

use crate::{
    error::{Error, Result},
    tensor::{DType, Tensor},
};

/// The WGSL type that holds elements of `dtype`, if one does.
///
/// 64-bit integers are held in 32 bits and checked when they are encoded; Booleans are 0 or 1.
pub(crate) fn carrier(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F32 => Some("f32"),
        DType::I32 | DType::I64 => Some("i32"),
        DType::U32 | DType::Bool => Some("u32"),
        _ => None,
    }
}

/// Bytes of `elements` elements on the device.
///
/// # Errors
/// If they exceed 64 bits.
pub(crate) fn device_bytes(elements: usize) -> Result<u64> {
    (elements as u64).checked_mul(4).ok_or_else(|| Error::limit("a tensor is larger than can be addressed"))
}

/// Whether elements of `dtype` have the same bytes on the device and on the host.
pub(crate) fn is_held_alike(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::I32 | DType::U32)
}

/// Encodes elements for the device.
///
/// # Errors
/// If the type cannot be held or a 64-bit integer needs more than 32 bits.
pub(crate) fn encode(dtype: DType, from: &[u8], to: &mut Vec<u8>) -> Result<()> {
    match dtype {
        _ if is_held_alike(dtype) => to.extend_from_slice(from),
        DType::I64 => {
            to.reserve(from.len() / 2);
            for bytes in from.chunks_exact(8) {
                let wide = i64::from_ne_bytes(bytes.try_into().unwrap_or_default());
                let narrow = i32::try_from(wide).map_err(|_| {
                    Error::invalid_input(format!("the integer {wide} needs more than the 32 bits that a GPU carries"))
                })?;
                to.extend_from_slice(&narrow.to_ne_bytes());
            }
        }
        DType::Bool => to.extend(from.iter().flat_map(|&byte| u32::from(byte).to_ne_bytes())),
        _ => return Err(Error::internal(format!("elements of type {dtype} were sent to a GPU"))),
    }
    Ok(())
}

/// Whether a tensor holds integers that [`encode`] refuses.
pub(crate) fn is_wide(tensor: &Tensor) -> bool {
    let integers = tensor.as_slice::<i64>().unwrap_or(&[]);
    integers.iter().any(|&wide| i32::try_from(wide).is_err())
}

/// Encodes the only element of a tensor.
///
/// # Errors
/// As [`encode`], or if the tensor does not have one element.
pub(crate) fn word_of(tensor: &Tensor) -> Result<u32> {
    let mut bytes = Vec::new();
    encode(tensor.dtype(), tensor.bytes(), &mut bytes)?;
    let word = bytes.try_into().map_err(|_| Error::internal(format!("{tensor:?} is not one element")))?;
    Ok(u32::from_ne_bytes(word))
}

/// Decodes elements from the device.
///
/// # Errors
/// If the type cannot be held.
pub(crate) fn decode(dtype: DType, from: &[u8], to: &mut [u8]) -> Result<()> {
    match dtype {
        _ if is_held_alike(dtype) => to.copy_from_slice(&from[..to.len()]),
        DType::I64 => {
            for (from, to) in from.chunks_exact(4).zip(to.chunks_exact_mut(8)) {
                let narrow = i32::from_ne_bytes(from.try_into().unwrap_or_default());
                to.copy_from_slice(&i64::from(narrow).to_ne_bytes());
            }
        }
        DType::Bool => {
            for (from, to) in from.chunks_exact(4).zip(to) {
                *to = u8::from(from.iter().any(|&byte| byte != 0));
            }
        }
        _ => return Err(Error::internal(format!("elements of type {dtype} came from a GPU"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let integers = [0i64, -1, i64::from(i32::MAX), i64::from(i32::MIN)];
        let bytes = bytemuck::cast_slice(&integers);
        let mut device = Vec::new();
        encode(DType::I64, bytes, &mut device).unwrap();
        assert_eq!(device.len(), 16);
        let mut back = vec![0; bytes.len()];
        decode(DType::I64, &device, &mut back).unwrap();
        assert_eq!(back, bytes);
        let mut device = Vec::new();
        encode(DType::Bool, &[1, 0, 1], &mut device).unwrap();
        let mut back = [7; 3];
        decode(DType::Bool, &device, &mut back).unwrap();
        assert_eq!(back, [1, 0, 1]);
    }

    #[test]
    fn wide_integers_and_other_types_are_refused() {
        let wide = (1i64 << 31).to_ne_bytes();
        let error = encode(DType::I64, &wide, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("2147483648"), "{error}");
        assert!(encode(DType::F64, &wide, &mut Vec::new()).is_err());
    }
}
