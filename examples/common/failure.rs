//! How a command ends.

use std::{error::Error, fmt, io, path::Path};

use super::{Outcome, one_line, plain};

/// Why a command ended early, and with which code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    /// Empty where nothing is to be said.
    message: String,
}

/// Exit code where reading, starting or writing failed.
const FAILED: u8 = 1;
/// Exit code of a wrong command line.
const USAGE: u8 = 2;
/// Exit code where some items failed.
pub const ITEMS_FAILED: u8 = 3;
/// As a shell reports the end by a closed pipe.
const BROKEN_PIPE: u8 = 128 + 13;

impl Failure {
    /// A failure with that message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// An end of which all is said already, such as the one of `--help`.
    pub fn silent(code: u8) -> Self {
        Self { code, message: String::new() }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(one_line(&format!("{}; see --help", whole(&error))))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever read the output has seen enough.
            io::ErrorKind::BrokenPipe => Self::silent(BROKEN_PIPE),
            _ => Self::new(whole(&error)),
        }
    }
}

/// The failure to write a file.
pub fn writing(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(BROKEN_PIPE),
        _ => Failure::new(format!("writing {}: {}", path.display(), whole(error))),
    }
}

/// An error and all its causes, but those that a text tells already at its end.
pub fn whole(error: &dyn Error) -> String {
    let (mut text, mut below) = (error.to_string(), error.source());
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        below = cause.source();
    }
    text
}

macro_rules! failures {
    ($error:ident: $($type:ty => $text:expr,)*) => {$(
        impl From<$type> for Failure {
            fn from($error: $type) -> Self {
                Self::new($text)
            }
        }
    )*};
}
failures!(
    error:
    String => error,
    &str => error,
    gristmill::Error => whole(&error),
    gristmill::ItemError => whole(&error),
    serde_json::Error => whole(&error),
    Box<dyn Error> => whole(&*error),
    Box<dyn Error + Send + Sync> => whole(&*error),
);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The exit code of a command, after telling why it ended early.
pub fn code(outcome: Outcome) -> u8 {
    outcome.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            // A usage text has several lines, and is the command's own.
            let text = if failure.code == USAGE { plain(&failure.message) } else { one_line(&failure.message) };
            say!("{text}");
        }
        failure.code
    })
}
