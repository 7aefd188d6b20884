//! The lines of a stream, one at a time, each a text or an error.

use std::{
    io::{self, BufRead},
    sync::{Arc, Mutex, PoisonError},
};

use gristmill::{Error, ErrorKind};
use serde_json::Value;

/// The longest line in bytes; a longer one is an error and is skipped without being held.
const MAX_LINE_BYTES: usize = 16 << 20;

/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Lines without their ends (`\n` or `\r\n`), and without a byte order mark in front of the first.
///
/// An error of the stream ends the iteration and is kept.
pub struct Lines<R> {
    source: R,
    first: bool,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl<R: BufRead> Lines<R> {
    /// Iterates over the lines of `source`, and keeps its error in `failure`.
    pub fn new(source: R, failure: Arc<Mutex<Option<io::Error>>>) -> Self {
        Self { source, first: true, failure }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut line, mut length, mut ended) = (Vec::new(), 0, false);
        while !ended {
            let piece = match self.source.fill_buf() {
                Ok([]) if length == 0 => return None,
                Ok([]) => break,
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return None;
                }
            };
            let end = piece.iter().position(|&byte| byte == b'\n');
            let piece = &piece[..end.map_or(piece.len(), |end| end + 1)];
            if length + piece.len() <= MAX_LINE_BYTES {
                line.extend_from_slice(piece);
            }
            length += piece.len();
            ended = end.is_some();
            let used = piece.len();
            self.source.consume(used);
        }
        if length > MAX_LINE_BYTES {
            let message = format!("the line has {length} bytes; the limit is {MAX_LINE_BYTES}");
            return Some(Err(Error::new(ErrorKind::Limit, message)));
        }
        if std::mem::take(&mut self.first) && line.starts_with(MARK) {
            line.drain(..MARK.len());
        }
        for end in [b'\n', b'\r'] {
            // A lone `\r` at the very end of the stream belongs to the text.
            if ended && line.last() == Some(&end) {
                line.pop();
            }
        }
        Some(String::from_utf8(line).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            Error::invalid_input(format!("not UTF-8, at byte {place} of the line"))
        }))
    }
}

/// The text in field `name` of a line of JSON.
pub fn field(line: &str, name: &str) -> Result<String, Error> {
    let object: Value =
        serde_json::from_str(line).map_err(|error| Error::invalid_input(format!("not JSON: {error}")))?;
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => {
            let kind = match other {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::Array(_) => "an array",
                _ => "an object",
            };
            Err(Error::invalid_input(format!("the field `{name}` is {kind}, not a text")))
        }
        None => Err(Error::invalid_input(format!("no field `{name}`"))),
    }
}
