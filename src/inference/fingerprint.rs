//! A name for a model's weights, computed on first use.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// A name for a model's weights: equal weights, equal fingerprint; empty if unknown.
///
/// Computing it may read the model's files again, so it is computed on first use, and once: clones
/// share it.
#[derive(Clone)]
pub struct Fingerprint(Arc<Name>);

/// A name, and what computes it.
struct Name {
    made: OnceLock<String>,
    /// `None` once it is called.
    make: Mutex<Option<Make>>,
}

type Make = Box<dyn FnOnce() -> String + Send>;

impl Fingerprint {
    /// A fingerprint that `make` computes on first use.
    #[cfg(any(test, feature = "onnx", feature = "hugging-face"))]
    pub(crate) fn new(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(Arc::new(Name { made: OnceLock::new(), make: Mutex::new(Some(Box::new(make))) }))
    }

    /// The fingerprint, computed now if it has not been.
    pub fn as_str(&self) -> &str {
        self.0.made.get_or_init(|| {
            let make = self.0.make.lock().unwrap_or_else(PoisonError::into_inner).take();
            make.map(|make| make()).unwrap_or_default()
        })
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::from(String::new())
    }
}

impl From<String> for Fingerprint {
    fn from(name: String) -> Self {
        Self(Arc::new(Name { made: OnceLock::from(name), make: Mutex::default() }))
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

/// Computes nothing: a name that is not computed yet is shown as such.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.made.get() {
            Some(name) => f.debug_tuple("Fingerprint").field(name).finish(),
            None => f.write_str("Fingerprint(not computed yet)"),
        }
    }
}

/// As its text, computed now if it has not been.
#[cfg(feature = "serde")]
impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'d> serde::Deserialize<'d> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
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
        assert_eq!(format!("{clone:?}"), "Fingerprint(not computed yet)");
        assert_eq!(MADE.load(SeqCst), 0);
        assert_eq!((clone.as_str(), fingerprint.to_string().as_str()), ("0", "0"));
        assert_eq!(MADE.load(SeqCst), 1);
        assert_eq!(format!("{clone:?}"), r#"Fingerprint("0")"#);
        assert_eq!(format!("{:?}", Fingerprint::from("ab12".to_owned())), r#"Fingerprint("ab12")"#);
    }
}
