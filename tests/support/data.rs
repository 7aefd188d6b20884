//! Where the data lie that `tests/setup.sh` fetches.

use std::path::PathBuf;

/// A file or folder of the test data. A test that needs it must not pass without it.
pub fn data(name: &str) -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let path = std::env::var_os("GRISTMILL_TEST_DATA").map_or(own, PathBuf::from).join(name);
    assert!(path.exists(), "{} is missing: run tests/setup.sh first", path.display());
    path
}

/// A file of the repository's goldens.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}
