//! Results as bytes.

/// A result that a cache can store.
pub trait CacheValue: Sized {
    /// Appends the result's bytes to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a result from the front of `bytes`; `None` if they do not hold one.
    ///
    /// The bytes may be damaged: allocate no more than their length justifies.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl CacheValue for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                let (number, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*number))
            }
        }
    )* };
}

// `u8` has a faster implementation below.
numbers!(u16 u32 u64 i8 i16 i32 i64 f32 f64);

impl CacheValue for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(first)
    }
}

impl CacheValue for usize {
    fn encode(&self, out: &mut Vec<u8>) {
        (*self as u64).encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        u64::decode(bytes)?.try_into().ok()
    }
}

impl CacheValue for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        u8::from(*self).encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl CacheValue for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let len = usize::decode(bytes)?;
        Some(std::str::from_utf8(take(bytes, len)?).ok()?.to_owned())
    }
}

impl<T: CacheValue> CacheValue for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        out.reserve(size_of_val(self.as_slice()));
        self.iter().for_each(|item| item.encode(out));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let len = usize::decode(bytes)?;
        // An item has at least one byte.
        let mut items = Vec::with_capacity(len.min(bytes.len() / size_of::<T>().max(1)));
        for _ in 0..len {
            let before = bytes.len();
            items.push(T::decode(bytes)?);
            if bytes.len() == before {
                return None;
            }
        }
        Some(items)
    }
}

impl<T: CacheValue> CacheValue for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        if bool::decode(bytes)? { T::decode(bytes).map(Some) } else { Some(None) }
    }
}

impl<A: CacheValue, B: CacheValue> CacheValue for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::decode(bytes)?, B::decode(bytes)?))
    }
}

/// Splits `len` bytes from the front of `bytes`.
pub(crate) fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Asserts that `value` is read back whole, and that no part of its bytes is a value.
    pub(crate) fn round<T: CacheValue + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(T::decode(&mut rest).as_ref(), Some(&value));
        assert!(rest.is_empty());
        for cut in 0..bytes.len() {
            assert_eq!(T::decode(&mut &bytes[..cut]), None, "{value:?} cut to {cut} bytes");
        }
    }

    #[test]
    fn values_are_read_back_and_truncated_ones_are_not() {
        round(vec![1.5_f32, -0.0, f32::INFINITY]);
        round((String::from("控 x"), 7_u64));
        round(vec![Some(3_u16), None]);
        round((true, vec![String::new(), "b".into()]));
    }

    #[test]
    fn wrong_lengths_allocate_nothing() {
        let mut bytes = Vec::new();
        usize::MAX.encode(&mut bytes);
        assert_eq!(Vec::<u8>::decode(&mut bytes.as_slice()), None);
        assert_eq!(Vec::<Vec<u8>>::decode(&mut bytes.as_slice()), None);
        assert_eq!(String::decode(&mut bytes.as_slice()), None);
    }
}
