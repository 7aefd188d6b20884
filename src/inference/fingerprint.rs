//! A name for a model's weights, computed on first use.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// A name for a model's weights: equal weights, equal fingerprint; empty if unknown.
///
/// Computing it may read the model's files again, so it is computed on first use, and once: clones
/// share it.
#[derive(Clone)]
pub struct Fingerprint(Arc<LazyLock<String, Make>>);

type Make = Box<dyn FnOnce() -> String + Send>;

impl Fingerprint {
    /// A fingerprint that `make` computes on first use.
    pub(crate) fn new(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    /// The fingerprint, computed now if it has not been.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new(String::new)
    }
}

impl From<String> for Fingerprint {
    fn from(name: String) -> Self {
        Self::new(|| name)
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprint").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn it_is_computed_once_and_only_on_use() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let fingerprint = Fingerprint::new(|| MADE.fetch_add(1, SeqCst).to_string());
        let clone = fingerprint.clone();
        let _ = format!("{clone:?}");
        assert_eq!(MADE.load(SeqCst), 0);
        assert_eq!((clone.as_str(), fingerprint.to_string().as_str()), ("0", "0"));
        assert_eq!(MADE.load(SeqCst), 1);
    }
}
