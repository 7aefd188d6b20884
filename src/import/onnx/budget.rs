//! Limits on what a file makes the reader keep.

use std::cell::Cell;

use crate::{
    error::{Error, Result},
    import::options::ImportOptions,
};

/// The numbers of messages, names and bytes that a file may still use.
#[derive(Debug)]
pub(crate) struct Budget {
    items: Cell<usize>,
    bytes: Cell<usize>,
    max_items: usize,
    max_bytes: usize,
}

impl Budget {
    pub(crate) fn new(options: &ImportOptions) -> Self {
        Self::of(options.max_items, options.max_structure_bytes)
    }

    /// A budget without limits, for messages that have been charged before.
    pub(crate) fn unlimited() -> Self {
        Self::of(usize::MAX, usize::MAX)
    }

    pub(crate) fn of(max_items: usize, max_bytes: usize) -> Self {
        Self { items: Cell::new(max_items), bytes: Cell::new(max_bytes), max_items, max_bytes }
    }

    /// Charges one message, or one name of a list.
    pub(crate) fn item(&self) -> Result<()> {
        let left = self.items.get().checked_sub(1).ok_or_else(|| {
            let most = self.max_items;
            Error::limit(format!(
                "the file holds more than {most} messages and names; ImportOptions::max_items sets the cap"
            ))
        })?;
        self.items.set(left);
        Ok(())
    }

    /// Charges `count` bytes.
    pub(crate) fn bytes(&self, count: usize) -> Result<()> {
        let left = self.bytes.get().checked_sub(count).ok_or_else(|| {
            let most = self.max_bytes;
            Error::limit(format!(
                "the file holds more than {most} bytes besides its weights; ImportOptions::max_structure_bytes sets the cap"
            ))
        })?;
        self.bytes.set(left);
        Ok(())
    }
}
