//! What a tensor shows for debugging: its type, its shape and its first elements.

use std::fmt;

use bytemuck::Pod;

use crate::tensor::{DType, Tensor};

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}{:?}", self.dtype, self.shape)?;
        for place in 0..self.len().min(SHOWN) {
            f.write_str(if place == 0 { " " } else { ", " })?;
            self.fmt_element(place, f)?;
        }
        f.write_str(if self.len() > SHOWN { ", ...)" } else { ")" })
    }
}

/// The elements that the debug text of a tensor shows.
const SHOWN: usize = 8;

impl Tensor {
    fn fmt_element(&self, place: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn element<T: Pod>(bytes: &[u8], place: usize) -> T {
            bytemuck::cast_slice::<u8, T>(bytes)[place]
        }
        let bytes: &[u8] = &self.data;
        match self.dtype {
            DType::F32 => write!(f, "{:?}", element::<f32>(bytes, place)),
            DType::F64 => write!(f, "{:?}", element::<f64>(bytes, place)),
            DType::F16 => write!(f, "{}", element::<half::f16>(bytes, place)),
            DType::BF16 => write!(f, "{}", element::<half::bf16>(bytes, place)),
            DType::I8 => write!(f, "{}", element::<i8>(bytes, place)),
            DType::I16 => write!(f, "{}", element::<i16>(bytes, place)),
            DType::I32 => write!(f, "{}", element::<i32>(bytes, place)),
            DType::I64 => write!(f, "{}", element::<i64>(bytes, place)),
            DType::U8 => write!(f, "{}", element::<u8>(bytes, place)),
            DType::U16 => write!(f, "{}", element::<u16>(bytes, place)),
            DType::U32 => write!(f, "{}", element::<u32>(bytes, place)),
            DType::U64 => write!(f, "{}", element::<u64>(bytes, place)),
            // The bits; what number they are is a kernel's knowledge.
            DType::Small(_) => write!(f, "{:#04x}", element::<u8>(bytes, place)),
            DType::Bool => write!(f, "{}", element::<u8>(bytes, place) != 0),
            DType::String => write!(f, "{:?}", self.texts().nth(place).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{DType, Tensor};

    #[test]
    fn a_tensor_shows_its_first_elements() {
        let shown = |tensor: Tensor| format!("{tensor:?}");
        assert_eq!(shown(Tensor::new([1, 2], &[1.0_f32, f32::NAN]).unwrap()), "Tensor(f32[1, 2] 1.0, NaN)");
        assert_eq!(shown(Tensor::from_bools([2], &[true, false]).unwrap()), "Tensor(bool[2] true, false)");
        assert_eq!(shown(Tensor::from((0..9_u8).collect::<Vec<_>>())), "Tensor(u8[9] 0, 1, 2, 3, 4, 5, 6, 7, ...)");
        assert_eq!(shown(Tensor::from_strings([1], &["a"]).unwrap()), "Tensor(string[1] \"a\")");
        assert_eq!(shown(Tensor::zeros(DType::F16, [0, 3]).unwrap()), "Tensor(f16[0, 3])");
    }
}
