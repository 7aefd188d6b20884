//! What one run may take: bytes, checked before anything is allocated, and iterations of loops.

use std::sync::OnceLock;

use crate::{
    error::{Error, Result},
    threads::platform::memory_bytes,
};

/// The part of the machine's memory that one run may take by default: one in this many bytes.
const DEFAULT_PART: u64 = 4;

/// The memory to assume where the system does not report it.
const ASSUMED_MEMORY: u64 = 16 << 30;

/// The iterations of all loops that one run may make by default.
const DEFAULT_ITERATIONS: u64 = 10_000_000;

/// The most bytes of values and scratch, and the most iterations of loops, that one run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunCap {
    bytes: usize,
    /// Whether the caller set the bytes.
    is_set: bool,
    pub(crate) iterations: u64,
}

impl Default for RunCap {
    fn default() -> Self {
        static BYTES: OnceLock<usize> = OnceLock::new();
        let bytes = *BYTES.get_or_init(|| {
            let bytes = memory_bytes().unwrap_or(ASSUMED_MEMORY) / DEFAULT_PART;
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        Self { bytes, is_set: false, iterations: DEFAULT_ITERATIONS }
    }
}

impl RunCap {
    /// The caller's cap, or the default.
    pub(crate) fn of(bytes: Option<usize>, iterations: Option<u64>) -> Self {
        let default = Self::default();
        Self {
            bytes: bytes.unwrap_or(default.bytes),
            is_set: bytes.is_some(),
            iterations: iterations.unwrap_or(default.iterations),
        }
    }

    /// The most bytes of a run.
    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }

    /// Whether a run of `bytes` may be allocated.
    pub(crate) fn admits(self, bytes: usize) -> bool {
        bytes <= self.bytes
    }

    /// Checks a run of `bytes`; `parts` names its inputs and nodes with the bytes of each.
    ///
    /// # Errors
    /// If it is past the cap; the error names the largest part.
    pub(crate) fn check(self, bytes: usize, parts: impl FnOnce() -> Vec<(String, usize)>) -> Result<()> {
        if self.admits(bytes) {
            return Ok(());
        }
        let largest = parts().into_iter().max_by_key(|(_, bytes)| *bytes);
        let count = |bytes: usize| match bytes {
            usize::MAX => "more bytes than can be addressed".to_owned(),
            bytes => format!("{bytes} bytes"),
        };
        let default = if self.is_set { "" } else { ", by default a quarter of the machine's memory" };
        let whole = format!(
            "the run needs {}; the cap is {} bytes (SessionOptions::max_run_bytes{default})",
            count(bytes),
            self.bytes
        );
        Err(match largest {
            Some((name, own)) => {
                Error::limit(format!("needs {} for its values and scratch, {whole}", count(own))).context(name)
            }
            None => Error::limit(whole),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_past_the_cap_names_its_largest_part() {
        let parts = || vec![("node `a`".to_owned(), 10), ("node `b`".to_owned(), 90), ("input `x`".to_owned(), 1)];
        let cap = RunCap::of(Some(100), None);
        cap.check(100, parts).unwrap();
        let error = cap.check(101, parts).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Limit);
        assert_eq!(
            error.to_string(),
            "node `b`: needs 90 bytes for its values and scratch, the run needs 101 bytes; the cap is 100 bytes \
             (SessionOptions::max_run_bytes)"
        );
        let error = RunCap::default().check(usize::MAX, parts).unwrap_err().to_string();
        assert!(
            error.contains("more bytes than can be addressed") && error.contains("by default a quarter"),
            "{error}"
        );
    }

    #[test]
    fn the_default_leaves_room_for_ordinary_runs() {
        assert!(RunCap::default().admits(64 << 20));
        assert!(!RunCap::default().admits(1 << 50));
    }
}
