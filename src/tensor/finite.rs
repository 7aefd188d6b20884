//! Numbers that are no numbers, and infinities, in tensors of floating-point types.

use crate::tensor::{DType, Tensor};

/// Elements that are looked at together, so that the search is vectorized.
const BLOCK: usize = 256;

impl Tensor {
    /// The position of the first NaN.
    pub(crate) fn first_nan(&self) -> Option<usize> {
        self.find_exponent(true)
    }

    /// The position of the first NaN or infinity.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        self.find_exponent(false)
    }

    /// The first element whose exponent is the largest; of those that are NaN if `nan`.
    fn find_exponent(&self, nan: bool) -> Option<usize> {
        let short = |infinity: u16| {
            let least = infinity + u16::from(nan);
            find::<u16>(self.bytes(), |bits| bits & 0x7fff >= least)
        };
        match self.dtype() {
            DType::F32 => find::<u32>(self.bytes(), |bits| bits & 0x7fff_ffff >= 0x7f80_0000 + u32::from(nan)),
            DType::F64 => find::<u64>(self.bytes(), |bits| bits & (u64::MAX >> 1) >= (0x7ff << 52) + u64::from(nan)),
            DType::F16 => short(0x7c00),
            DType::BF16 => short(0x7f80),
            _ => None,
        }
    }
}

/// The position of the first element whose bits pass `test`.
fn find<T: bytemuck::AnyBitPattern>(bytes: &[u8], test: impl Fn(T) -> bool) -> Option<usize> {
    // Bytes of a mapped file may be aligned for no number.
    let Ok(values) = bytemuck::try_cast_slice::<u8, T>(bytes) else { return None };
    let block = values.chunks(BLOCK).position(|block| block.iter().fold(false, |any, &value| any | test(value)))?;
    let start = block * BLOCK;
    values[start..].iter().position(|&value| test(value)).map(|position| start + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_found_in_every_type() {
        for (at, value) in [(0, f32::NAN), (700, -f32::NAN), (999, f32::INFINITY), (5, f32::NEG_INFINITY)] {
            let mut values = vec![f32::MAX; 1000];
            values[at] = value;
            let bits32: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            let bits64: Vec<u8> = values.iter().flat_map(|&value| f64::from(value).to_ne_bytes()).collect();
            let bits16 = |round: fn(f32) -> u16| -> Vec<u8> {
                values.iter().flat_map(|&value| round(value.clamp(-1e4, 1e4)).to_ne_bytes()).collect()
            };
            let half = bits16(|value| half::f16::from_f32(value).to_bits());
            let tensors = [(DType::F32, bits32), (DType::F64, bits64), (DType::F16, half)];
            for (dtype, bytes) in tensors {
                let tensor = Tensor::from_bytes(dtype, [1000], &bytes).unwrap();
                let nan = value.is_nan().then_some(at);
                assert_eq!(tensor.first_nan(), nan, "{dtype}");
                let infinite = (dtype != DType::F16).then_some(at);
                assert_eq!(tensor.first_not_finite(), nan.or(infinite), "{dtype}");
            }
        }
        let brain = [half::bf16::MAX, half::bf16::INFINITY, half::bf16::NAN].map(|value| value.to_bits().to_ne_bytes());
        let brain = Tensor::from_bytes(DType::BF16, [3], &brain.concat()).unwrap();
        assert_eq!((brain.first_not_finite(), brain.first_nan()), (Some(1), Some(2)));
        assert_eq!(Tensor::new([2], &[1i64, -1]).unwrap().first_not_finite(), None);
        assert_eq!(Tensor::new([0], &[0f32; 0]).unwrap().first_nan(), None);
    }
}
