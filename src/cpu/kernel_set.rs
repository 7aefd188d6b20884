//! Which vector instructions the kernels use.

use crate::error::{Error, Result};

/// One compiled form of every CPU kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelSet(());

impl KernelSet {
    /// The set that runs everywhere.
    pub const PORTABLE: Self = Self(());

    /// The fastest set that this CPU can run.
    pub fn detect() -> Self {
        Self::PORTABLE
    }

    /// Every set that this CPU can run.
    pub fn available() -> Vec<Self> {
        vec![Self::PORTABLE]
    }

    /// The set called `name`.
    ///
    /// # Errors
    /// For an unknown name.
    pub fn named(name: &str) -> Result<Self> {
        if name == "portable" {
            Ok(Self(()))
        } else {
            Err(Error::invalid_input(format!("unknown kernel set `{name}`")))
        }
    }

    /// The name that [`named`](Self::named) takes.
    pub fn name(self) -> &'static str {
        "portable"
    }
}
