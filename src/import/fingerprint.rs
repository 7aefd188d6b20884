//! A hash that identifies weights.

/// A BLAKE3 hasher; for one file the result is what `b3sum` prints.
#[derive(Clone, Debug, Default)]
pub(crate) struct FingerprintHasher(blake3::Hasher);

impl FingerprintHasher {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash in 64 hexadecimal digits.
    pub(crate) fn name(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
