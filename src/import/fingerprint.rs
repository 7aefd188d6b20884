//! A name for weights: equal bytes, equal name.

/// Hashes bytes as they are read (BLAKE3); of one file, the name is what `b3sum` prints.
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

    /// The name: 64 hexadecimal digits.
    pub(crate) fn name(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
