//! Values as JSON in one line.

use serde::Serialize;

use crate::error::{Error, Result};

/// A value as JSON, without line breaks.
pub(in crate::files) fn line<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("writing JSON: {error}")))
}
