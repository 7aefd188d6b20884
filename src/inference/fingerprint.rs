//! The name of a model's weights, worked out when it is first asked for.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// Names a model's weights: equal weights, equal fingerprint; empty where it is not known.
///
/// Working it out may mean reading the model's files again, so that is done when it is first read, and once: clones
/// share it.
#[derive(Clone)]
pub struct Fingerprint(Arc<LazyLock<String, Make>>);

type Make = Box<dyn FnOnce() -> String + Send>;

impl Fingerprint {
    /// A fingerprint that `make` will work out.
    pub fn new(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    /// The fingerprint.
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
    fn it_is_worked_out_once_and_only_if_it_is_asked_for() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let fingerprint = Fingerprint::new(|| MADE.fetch_add(1, SeqCst).to_string());
        let clone = fingerprint.clone();
        let _ = format!("{clone:?}");
        assert_eq!(MADE.load(SeqCst), 0);
        assert_eq!((clone.as_str(), fingerprint.to_string().as_str()), ("0", "0"));
        assert_eq!(MADE.load(SeqCst), 1);
    }
}
