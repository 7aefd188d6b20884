//! Items as cache keys, and results as bytes.

use crate::bulk::cache::file::Key;

/// An item that can be looked up in a cache.
///
/// Feed whatever the result depends on. Unequal items must feed different bytes: lists and texts feed their length first.
pub trait CacheKey {
    /// Feeds the item to `hasher`.
    fn feed(&self, hasher: &mut KeyHasher);

    /// Feeds items one after another.
    #[doc(hidden)]
    fn feed_all(items: &[Self], hasher: &mut KeyHasher)
    where
        Self: Sized,
    {
        items.iter().for_each(|item| item.feed(hasher));
    }
}

/// Hashes the bytes of an item (BLAKE3).
#[derive(Clone, Debug)]
pub struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    /// A hasher for items of one context.
    pub(crate) fn new(context: &Key) -> Self {
        Self(blake3::Hasher::new_keyed(context))
    }

    /// Feeds bytes.
    ///
    /// Two calls equal one with the concatenation, so feed lengths of pieces whose lengths vary.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The key of what was fed.
    pub(crate) fn key(&self) -> Key {
        *self.0.finalize().as_bytes()
    }
}

/// A result that a cache can store.
pub trait CacheValue: Sized {
    /// Appends the result's bytes to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a result from the front of `bytes`; `None` if they do not hold one.
    ///
    /// The bytes may be damaged: allocate no more than their length justifies.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

impl CacheKey for str {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_bytes().feed(hasher);
    }
}

impl CacheKey for String {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_str().feed(hasher);
    }
}

impl<T: CacheKey> CacheKey for [T] {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.len().feed(hasher);
        T::feed_all(self, hasher);
    }
}

impl<T: CacheKey> CacheKey for Vec<T> {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_slice().feed(hasher);
    }
}

impl<A: CacheKey, B: CacheKey> CacheKey for (A, B) {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.0.feed(hasher);
        self.1.feed(hasher);
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl CacheKey for $number {
            fn feed(&self, hasher: &mut KeyHasher) {
                hasher.bytes(&self.to_le_bytes());
            }
        }

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

// `u8` has faster implementations below.
numbers!(u16 u32 u64 i8 i16 i32 i64 f32 f64);

impl CacheKey for u8 {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.bytes(&[*self]);
    }

    fn feed_all(items: &[Self], hasher: &mut KeyHasher) {
        hasher.bytes(items);
    }
}

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

/// As 64 bits, on every machine.
impl CacheKey for usize {
    fn feed(&self, hasher: &mut KeyHasher) {
        (*self as u64).feed(hasher);
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

impl CacheKey for bool {
    fn feed(&self, hasher: &mut KeyHasher) {
        u8::from(*self).feed(hasher);
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
fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: CacheValue + PartialEq + std::fmt::Debug>(value: T) {
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

    #[test]
    fn unequal_items_have_unequal_keys() {
        fn key(item: &(impl CacheKey + ?Sized)) -> Key {
            let mut hasher = KeyHasher::new(&[1; 32]);
            item.feed(&mut hasher);
            hasher.key()
        }
        assert_eq!(key("ab"), key(&String::from("ab")));
        assert_ne!(key(&("ab".to_owned(), "c".to_owned())), key(&("a".to_owned(), "bc".to_owned())));
        assert_ne!(key(&vec![vec![1_u8], vec![]]), key(&vec![vec![], vec![1_u8]]));
        let mut other = KeyHasher::new(&[2; 32]);
        "ab".feed(&mut other);
        assert_ne!(key("ab"), other.key());
    }
}
