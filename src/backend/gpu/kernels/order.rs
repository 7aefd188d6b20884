//! Sort keys of elements, for `ArgMax`, `ArgMin` and `TopK`.

use crate::tensor::DType;

/// WGSL for the sort key of the element `bits`: the first element of the order has the largest key.
///
/// With `nan_first`, NaN comes first in ascending order too. `None` for types without an order.
pub(super) fn key(dtype: DType, largest: bool, nan_first: bool) -> Option<&'static str> {
    Some(match (dtype, largest) {
        (DType::F32, true) => "key_of_float(bits)",
        (DType::F32, false) if nan_first => {
            "select(~key_of_float(bits), 0xffffffffu, key_of_float(bits) == 0xffffffffu)"
        }
        (DType::F32, false) => "~key_of_float(bits)",
        (DType::I32 | DType::I64, true) => "key_of_integer(bits)",
        (DType::I32 | DType::I64, false) => "~key_of_integer(bits)",
        (DType::U32, true) => "bits",
        (DType::U32, false) => "~bits",
        _ => return None,
    })
}
