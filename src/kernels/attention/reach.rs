//! What a query sees of a key by the distance between them: windows, causal attention, and biases.

use std::ops::Range;

/// The keys that a query sees: those at most `before` in front of it and at most `after` behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Distance to the first key.
    pub before: usize,
    /// Distance to the last key.
    pub after: usize,
}

/// Keys in front of the first visible one are skipped in whole blocks of so many.
const BLOCK: usize = 64;

impl Reach {
    /// All keys.
    pub const ALL: Self = Self { before: usize::MAX, after: usize::MAX };
    /// A query's own key and those in front of it.
    pub const CAUSAL: Self = Self { before: usize::MAX, after: 0 };

    /// The keys that any of the queries may see, of `keys` in all; whole blocks in front are left out.
    pub(super) fn keys(self, queries: Range<usize>, keys: usize) -> Range<usize> {
        let first = queries.start.saturating_sub(self.before) / BLOCK * BLOCK;
        first..queries.end.saturating_add(self.after).min(keys)
    }

    /// Whether a query sees the key that stands `distance` behind it.
    fn sees(self, distance: isize) -> bool {
        if distance < 0 { distance.unsigned_abs() <= self.before } else { distance.unsigned_abs() <= self.after }
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self::ALL
    }
}

/// A summand of the scores for each head and distance from query to key.
#[derive(Clone, Copy, Debug)]
pub struct DistanceBias<'a> {
    /// For each head `2 * most + 1` numbers, for the distances `-most` to `most`.
    pub table: &'a [f32],
    /// The largest distance; keys further away are as those at this distance.
    pub most: usize,
}

/// Writes what is added to the scores of a sequence of `len` for each distance `1 - len` to `len - 1`.
///
/// `row` is the head's part of a [`DistanceBias`].
pub(super) fn distances(out: &mut [f32], len: usize, row: Option<&[f32]>, reach: Reach) {
    for (index, out) in out.iter_mut().enumerate() {
        let distance = index as isize - (len as isize - 1);
        *out = match row {
            _ if !reach.sees(distance) => f32::NEG_INFINITY,
            None => 0.0,
            Some(row) => {
                let most = (row.len() / 2) as isize;
                row[(distance.clamp(-most, most) + most) as usize]
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_clamped_and_hidden() {
        let mut out = [0.0; 7];
        distances(&mut out, 4, Some(&[1.0, 2.0, 3.0]), Reach { before: usize::MAX, after: 2 });
        assert_eq!(out, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, f32::NEG_INFINITY]);
        distances(&mut out, 4, None, Reach::CAUSAL);
        assert_eq!(out[..4], [0.0; 4]);
        assert!(out[4..].iter().all(|&x| x == f32::NEG_INFINITY));
    }

    #[test]
    fn a_window_skips_whole_blocks() {
        let window = Reach { before: 10, after: 10 };
        assert_eq!(window.keys(200..214, 1000), 128..224);
        assert_eq!(window.keys(0..14, 20), 0..20);
        assert_eq!(Reach::ALL.keys(200..214, 1000), 0..1000);
        assert_eq!(Reach::CAUSAL.keys(200..214, 1000), 0..214);
    }
}
