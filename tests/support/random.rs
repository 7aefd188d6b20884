//! Numbers that look random and are the same in each run.

/// An xorshift generator; its seed is not 0.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`; 0 where nothing is below it.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }
}
