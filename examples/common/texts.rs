//! The texts of a file or a stream, one a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Failure, lines::Lines, plain_path, stop::Stop};

/// A file or a stream of lines.
pub struct TextFile {
    /// The file, if it is one; a stream that may wait is opened when it is read.
    file: Option<File>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl TextFile {
    /// Opens a file; `-` is standard input.
    pub fn open(texts: &Path) -> Result<Self, Failure> {
        Ok(Self { file: open(texts)?, failure: Arc::default() })
    }

    /// What `item` makes of each line, read as it is needed; a thread of its own reads a stream that may wait.
    pub fn read<T: Send + 'static>(
        &mut self,
        texts: &Path,
        item: impl Fn(gristmill::Result<String>) -> gristmill::Result<T> + Send + 'static,
        stop: &Stop,
    ) -> Result<Box<dyn Iterator<Item = gristmill::Result<T>>>, Failure> {
        let kept = self.failure.clone();
        if let Some(file) = self.file.take() {
            let lines = Lines::new(BufReader::with_capacity(1 << 18, file), kept);
            return Ok(Box::new(stop.until(lines.map(item))));
        }
        let path = texts.to_owned();
        let lines = stop.until_waiting(move || {
            let source: Box<dyn BufRead> = match path.as_os_str() == "-" {
                true => Box::new(BufReader::new(io::stdin())),
                false => match File::open(&path) {
                    Ok(file) => Box::new(BufReader::new(file)),
                    Err(error) => {
                        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        Box::new(io::empty())
                    }
                },
            };
            Lines::new(source, kept)
        });
        let lines = lines.map_err(|error| format!("starting a thread that reads: {error}"))?;
        Ok(Box::new(lines.map(item)))
    }

    /// Fails if the stream broke off, after so many lines.
    pub fn check(&self, texts: &Path, read: usize) -> Result<(), Failure> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => {
                let texts = plain_path(texts);
                Err(Failure::new(format!("reading {texts} after line {read}: {error}; nothing is written")))
            }
            None => Ok(()),
        }
    }
}

fn open(texts: &Path) -> Result<Option<File>, Failure> {
    if texts.as_os_str() == "-" {
        return Ok(None);
    }
    let fail = |error: io::Error| Failure::new(format!("opening {}: {error}", plain_path(texts)));
    let found = std::fs::metadata(texts).map_err(fail)?;
    if found.is_dir() {
        return Err(Failure::new(format!("{} is a folder; TEXTS is a file of lines", plain_path(texts))));
    }
    found.is_file().then(|| File::open(texts).map_err(fail)).transpose()
}
