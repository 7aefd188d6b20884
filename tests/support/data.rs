//! Where the data lie that `tests/setup.sh` fetches.

use std::path::{Path, PathBuf};

use gristmill::{Element, Tensors};

use super::npz;

/// The repository: a package below it may run the tests.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("tests/goldens").is_dir()).expect("a folder of the repository")
}

/// A file or folder of the test data. A test that needs it must not pass without it.
pub fn data(name: &str) -> PathBuf {
    let own = || root().join("tests/data");
    let path = std::env::var_os("GRISTMILL_TEST_DATA").map_or_else(own, PathBuf::from).join(name);
    assert!(path.exists(), "{} is missing: run tests/setup.sh first", path.display());
    path
}

/// A file of the repository's goldens.
pub fn golden(name: &str) -> PathBuf {
    root().join("tests/goldens").join(name)
}

/// The arrays of a file of the repository's goldens.
pub fn arrays(name: &str) -> Tensors {
    npz::read(&golden(name)).unwrap()
}

/// The elements of one of them.
pub fn elements<T: Element>(arrays: &Tensors, name: &str) -> Vec<T> {
    arrays.get(name).unwrap().as_slice().unwrap().to_vec()
}
