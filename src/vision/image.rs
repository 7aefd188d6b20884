//! What an image is given as.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{Context, Error, Result},
    vision::decode::{self, Pixels},
};

/// The most bytes of an image file.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// An image: the path of a file, the bytes of one, or pixels.
///
/// Files are PNG, JPEG, WebP, BMP and GIF, told apart by their first bytes; of several frames the first counts. They are
/// read and decoded on the workers.
#[derive(Clone)]
pub struct Image(Source);

#[derive(Clone)]
enum Source {
    Path(PathBuf),
    Bytes(Arc<[u8]>),
    Pixels(Arc<Pixels>),
}

impl Image {
    /// The image in a file.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Source::Path(path.into()))
    }

    /// The image in the bytes of a file.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(Source::Bytes(bytes.into()))
    }

    /// An image of pixels, row by row from the top, each as red, green and blue.
    ///
    /// # Errors
    /// If a side is 0, or `rgb` has another length than `3 width height`.
    pub fn rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        let wanted = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if wanted != Some(rgb.len()) || rgb.is_empty() {
            let message = format!("{} bytes for an image of {width} x {height} pixels, expected are 3 each", rgb.len());
            return Err(Error::invalid_input(message));
        }
        Ok(Self(Source::Pixels(Arc::new(Pixels { width, height, rgb }))))
    }

    /// The pixels; at most `most`.
    pub(super) fn pixels(&self, most: u64) -> Result<Arc<Pixels>> {
        match &self.0 {
            Source::Path(path) => {
                let read = || decode::decode(&read(path)?, most);
                Ok(Arc::new(read().context(|| path.display().to_string())?))
            }
            Source::Bytes(bytes) => Ok(Arc::new(decode::decode(bytes, most)?)),
            Source::Pixels(pixels) => Ok(pixels.clone()),
        }
    }

    /// The bytes that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.0 {
                Source::Path(path) => path.as_os_str().len(),
                Source::Bytes(bytes) => bytes.len(),
                Source::Pixels(pixels) => pixels.rgb.len(),
            }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let reading = |error| Error::io(error, "reading");
    let metadata = std::fs::metadata(path).map_err(reading)?;
    // Opening a pipe would wait for a writer.
    if !metadata.is_file() {
        return Err(Error::invalid_input("is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(reading)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(reading)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::limit(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

impl From<&str> for Image {
    fn from(path: &str) -> Self {
        Self::path(path)
    }
}

impl From<String> for Image {
    fn from(path: String) -> Self {
        Self::path(path)
    }
}

impl From<&Path> for Image {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<PathBuf> for Image {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<&PathBuf> for Image {
    fn from(path: &PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl From<&Image> for Image {
    fn from(image: &Image) -> Self {
        image.clone()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Path(path) => f.debug_tuple("Image").field(path).finish(),
            Source::Bytes(bytes) => write!(f, "Image({} bytes)", bytes.len()),
            Source::Pixels(pixels) => write!(f, "Image({} x {} pixels)", pixels.width, pixels.height),
        }
    }
}
