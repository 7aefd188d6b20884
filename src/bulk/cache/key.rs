//! Items as cache keys.

use crate::bulk::cache::file::Key;

/// An item that can be looked up in a cache.
///
/// Feed whatever the result depends on. Unequal items must feed different bytes: lists and texts
/// feed their length first.
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
    )* };
}

// `u8` has a faster implementation below.
numbers!(u16 u32 u64 i8 i16 i32 i64 f32 f64);

impl CacheKey for u8 {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.bytes(&[*self]);
    }

    fn feed_all(items: &[Self], hasher: &mut KeyHasher) {
        hasher.bytes(items);
    }
}

/// As 64 bits, on every machine.
impl CacheKey for usize {
    fn feed(&self, hasher: &mut KeyHasher) {
        (*self as u64).feed(hasher);
    }
}

impl CacheKey for bool {
    fn feed(&self, hasher: &mut KeyHasher) {
        u8::from(*self).feed(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
