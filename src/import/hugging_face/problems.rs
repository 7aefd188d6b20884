//! Everything that is wrong, in one error.

use crate::error::{Error, Result};

/// How many problems are spelled out.
const MOST: usize = 20;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<String>,
    more: usize,
}

impl Problems {
    /// Adds one; past the first twenty they are only counted.
    pub(super) fn add(&mut self, problem: impl FnOnce() -> String) {
        if self.listed.len() < MOST {
            self.listed.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// An error that lists them all, if there are any.
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
