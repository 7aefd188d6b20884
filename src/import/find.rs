//! Finding a model, and what to do where there is none.

use std::{
    fs::{self, Metadata},
    io::ErrorKind as IoErrorKind,
    path::Path,
};

use crate::error::{Error, Result};

/// The file or folder at `path`, which is to be `expected`.
///
/// # Errors
/// If there is none; the error has the command that gets one.
pub(crate) fn find(path: &Path, expected: &str) -> Result<Metadata> {
    fs::metadata(path).map_err(|error| {
        let doing = match error.kind() {
            IoErrorKind::NotFound => format!(
                "opening the model, {expected} (`hf download OWNER/NAME --local-dir {}` gets one from the Hugging Face \
                 Hub)",
                path.display()
            ),
            _ => "opening the model".to_owned(),
        };
        Error::io(error, doing)
    })
}
