//! The vocabulary of a WordPiece model as a table of short words.

use std::{
    hash::{BuildHasher as _, RandomState},
    ops::Range,
};

use tokenizers::{Model as _, models::wordpiece::WordPiece};

/// The longest word that a key holds; one more byte is its length and whether it continues a word.
const LONGEST: usize = 15;
const CONTINUES: u8 = 0x80;
/// No vocabulary of words that differ comes near: a table that needs more is not used.
const PROBES: usize = 64;

/// ASCII words of at most 15 bytes and their tokens, each in one slot that holds the word itself.
#[derive(Debug)]
pub(super) struct WordTable {
    slots: Vec<Slot>,
    /// Chosen at random, so that no vocabulary can aim at one slot.
    factors: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Nothing where it is zero, which no word is.
    key: [u64; 2],
    id: u32,
}

impl WordTable {
    pub(super) fn of(model: &WordPiece) -> Option<Self> {
        let prefix = model.continuing_subword_prefix.as_str();
        // A word may stand at the beginning and in the middle of others.
        let words = model.get_vocab();
        let keys = words.iter().flat_map(|(word, &id)| {
            let rest = word.strip_prefix(prefix).and_then(Key::of_word).map(Key::continuing);
            [Key::of_word(word), rest].into_iter().flatten().map(move |key| (key, id))
        });
        let keys: Vec<(Key, u32)> = keys.collect();
        let seed = RandomState::new();
        let mut table = Self {
            slots: vec![Slot::default(); (2 * keys.len() + 1).next_power_of_two()],
            factors: [0, 1].map(|which: u8| seed.hash_one(which) | 1),
        };
        keys.into_iter().try_for_each(|(key, id)| table.insert(key, id))?;
        Some(table)
    }

    /// Appends the tokens of a word, the longest first as WordPiece does; false, and nothing appended, where it is long or
    /// the vocabulary does not have its parts.
    pub(super) fn push(&self, text: &[u8], word: Range<usize>, lowercases: bool, ids: &mut Vec<u32>) -> bool {
        let length = word.len();
        let Some(key) = Key::of(text, word) else { return false };
        let word = if lowercases { key.lowercase() } else { key };
        if let Some(id) = self.get(word) {
            ids.push(id);
            return true;
        }
        let (before, mut at) = (ids.len(), 0);
        while at < length {
            let found = (at + 1..=length).rev().find_map(|end| {
                let part = word.part(at, end);
                self.get(if at > 0 { part.continuing() } else { part }).map(|id| (id, end))
            });
            let Some((id, end)) = found else {
                ids.truncate(before);
                return false;
            };
            ids.push(id);
            at = end;
        }
        true
    }

    fn slots_of(&self, Key(key): Key) -> impl Iterator<Item = usize> + use<> {
        let mixed = key[0].wrapping_mul(self.factors[0]) ^ key[1].wrapping_mul(self.factors[1]).rotate_left(32);
        let (mask, first) = (self.slots.len() - 1, (mixed ^ (mixed >> 32)).wrapping_mul(self.factors[1]) >> 32);
        (0..PROBES).map(move |probe| (first as usize + probe) & mask)
    }

    fn get(&self, key: Key) -> Option<u32> {
        let slots = self.slots_of(key).map(|at| &self.slots[at]);
        slots.take_while(|slot| slot.key != [0; 2]).find(|slot| slot.key == key.0).map(|slot| slot.id)
    }

    fn insert(&mut self, key: Key, id: u32) -> Option<()> {
        let at = self.slots_of(key).find(|&at| self.slots[at].key == [0; 2])?;
        self.slots[at] = Slot { key: key.0, id };
        Some(())
    }
}

/// A word's bytes, zeros up to the last byte, and in that one its length.
#[derive(Clone, Copy)]
struct Key([u64; 2]);

impl Key {
    fn of_word(word: &str) -> Option<Self> {
        Self::of(word.as_bytes(), 0..word.len())
    }

    /// The key of a part of a text, if it is ASCII and neither empty nor long.
    fn of(text: &[u8], word: Range<usize>) -> Option<Self> {
        let length = word.len();
        if !(1..=LONGEST).contains(&length) {
            return None;
        }
        let bytes = match text[word.start..].first_chunk::<16>() {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; 16];
                bytes[..length].copy_from_slice(&text[word]);
                bytes
            }
        };
        let key = Self::cut(u128::from_le_bytes(bytes), length);
        (key.0.iter().all(|half| half & 0x8080_8080_8080_8080 == 0)).then_some(key)
    }

    /// The first bytes of sixteen.
    fn cut(bytes: u128, length: usize) -> Self {
        let word = bytes & ((1 << (8 * length)) - 1) | (length as u128) << 120;
        Self([word as u64, (word >> 64) as u64])
    }

    fn part(self, start: usize, end: usize) -> Self {
        let bytes = u128::from(self.0[0]) | u128::from(self.0[1]) << 64;
        Self::cut(bytes >> (8 * start), end - start)
    }

    fn continuing(self) -> Self {
        Self([self.0[0], self.0[1] | u64::from(CONTINUES) << 56])
    }

    /// With capital letters small.
    fn lowercase(self) -> Self {
        Self(self.0.map(|half| {
            // The high bit of each byte from `A` on, and of each behind `Z`: no byte carries into the next.
            let from_a = half + 0x3f3f_3f3f_3f3f_3f3f;
            let behind_z = half + 0x2525_2525_2525_2525;
            half | (from_a & !behind_z & 0x8080_8080_8080_8080) >> 2
        }))
    }
}
