//! Many problems in one error.

use crate::error::{Error, Result};

/// The number of problems that an error lists in full.
const MOST: usize = 20;

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<String>,
    more: usize,
}

impl Problems {
    /// Adds a problem, which is only counted after the first twenty.
    pub(super) fn add(&mut self, problem: impl FnOnce() -> String) {
        if self.listed.len() < MOST {
            self.listed.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// Returns an error that lists the problems, if any.
    pub(super) fn finish(self, what: &str) -> Result<()> {
        if self.listed.is_empty() {
            return Ok(());
        }
        let mut message = format!("{what}: {}", self.listed.join("; "));
        if self.more > 0 {
            message.push_str(&format!("; and {} more", self.more));
        }
        Err(Error::invalid_model(message))
    }
}
