//! Settings files of a folder, read with a limit on their size.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind as IoErrorKind, Read},
    path::{Component, Path},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::unique_map::UniqueMap,
};

/// The maximum size of a settings file in bytes.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

/// Reads a file of at most `limit` bytes; `None` if it does not exist.
pub(crate) fn read_optional(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let reading = |error| Error::io(error, format!("reading `{name}`"));
    match std::fs::metadata(path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reading(error)),
        // Opening a pipe would wait for a writer.
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::invalid_model(format!("`{name}` is not a regular file")));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(reading)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(reading)?;
    if bytes.len() as u64 > limit {
        return Err(Error::limit(format!("`{name}` is larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// Reads a file of at most `limit` bytes, which must exist.
pub(crate) fn read_required(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let missing = || Error::io(IoErrorKind::NotFound.into(), format!("`{name}` is missing"));
    read_optional(path, limit)?.ok_or_else(missing)
}

/// Reads the fields of a settings file; `None` if it does not exist.
pub(super) fn settings(folder: &Path, name: &str) -> Result<Option<BTreeMap<String, Value>>> {
    let Some(bytes) = read_optional(&folder.join(name), MAX_SETTINGS_BYTES)? else { return Ok(None) };
    Ok(Some(parse::<UniqueMap<Value>>(&bytes, name)?.0))
}

/// Parses a settings file.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::invalid_model(format!("`{name}` does not parse: {error}")))
}

/// Reads and parses a settings file; `None` if it does not exist.
pub(super) fn optional<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<Option<T>> {
    let bytes = read_optional(&folder.join(name), MAX_SETTINGS_BYTES)?;
    bytes.map(|bytes| parse(&bytes, name)).transpose()
}

/// Refuses a `name` from a file that is not the plain name of a folder entry.
pub(super) fn plain_name<'a>(name: &'a str, place: &str) -> Result<&'a str> {
    let mut components = Path::new(name).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if plain && !name.contains(['/', '\\', '\0', ':']) {
        return Ok(name);
    }
    Err(Error::invalid_model(format!("{name:?} is not the plain name of a file of the folder")))
        .context(|| place.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        assert!(plain_name("model-00001-of-00002.safetensors", "").is_ok());
        for name in ["", ".", "..", "../a", "a/../../b", "/etc/passwd", "a/b", "a\\b", "c:a", "a\0b", "a/"] {
            assert!(plain_name(name, "").is_err(), "{name:?}");
        }
    }
}
