//! The error type: a kind to branch on, a message, the places it passed, and its cause.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Category of an error, coarse enough to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing failed; the source is the operating system's error.
    Io,
    /// A model file is damaged, inconsistent or hostile.
    InvalidModel,
    /// The file is valid but needs a feature that this library lacks.
    Unsupported,
    /// An input does not fit the model: its name, type, shape or one of its values.
    InvalidInput,
    /// A limit on size, depth or number was reached.
    Limit,
    /// User code (a closure, a user's own model) returned an error.
    User,
    /// User code or a kernel panicked; the message is the panic's.
    Panic,
    /// The job was cancelled or ran past its deadline.
    Cancelled,
    /// The device asked for is absent or failed.
    Device,
    /// A bug in this library; please report it.
    Internal,
}

/// Any failure of this library.
///
/// Opaque: branch on [`Error::kind`], print with `{}`, get the cause with
/// [`source`](StdError::source) or [`Error::downcast_ref`].
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), context: Vec::new(), source: None }))
    }

    /// Wraps a caller's own error, which [`downcast_ref`](Self::downcast_ref) returns.
    pub fn user(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = Arc::<dyn StdError + Send + Sync>::from(source.into());
        Self(Box::new(Inner {
            kind: ErrorKind::User,
            message: source.to_string(),
            context: Vec::new(),
            source: Some(source),
        }))
    }

    /// An operating-system error, with the action that failed.
    pub fn io(source: std::io::Error, doing: impl Into<String>) -> Self {
        let message = format!("{}: {source}", doing.into());
        Self(Box::new(Inner { kind: ErrorKind::Io, message, context: Vec::new(), source: Some(Arc::new(source)) }))
    }

    /// A damaged or hostile model file.
    pub fn invalid_model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidModel, message)
    }

    /// A feature that this library lacks.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An input that does not fit the model.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// A limit that was reached.
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }

    /// A bug in this library.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds a place that the error passed, such as a file or a node; the outermost place is printed
    /// first.
    #[must_use]
    pub fn context(mut self, place: impl Into<String>) -> Self {
        self.0.context.push(place.into());
        self
    }

    /// The category.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The caller's own error, if it is the cause and of type `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.as_ref().and_then(|source| source.downcast_ref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.0.context.iter().rev() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Extension of results: adds a place to an error.
pub(crate) trait Context<T> {
    /// Adds the place that `place` returns; called only for an error.
    fn context(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.context(place()))
    }
}

/// The stage of a job in which an item failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The source returned an error instead of an item.
    Read,
    /// Preparing the item (tokenizing, decoding).
    Prepare,
    /// Running the model.
    Run,
    /// Finishing the output (pooling, labels).
    Finish,
    /// Delivering the result.
    Write,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Read => "read",
            Stage::Prepare => "prepare",
            Stage::Run => "run",
            Stage::Finish => "finish",
            Stage::Write => "write",
        })
    }
}

/// The failure of one item of a job: its index, the stage and the cause.
#[derive(Debug)]
pub struct ItemError {
    /// Position of the item in the job, from 0.
    pub index: usize,
    /// The stage that failed.
    pub stage: Stage,
    /// The cause.
    pub source: Error,
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {} failed in {}: {}", self.index, self.stage, self.source)
    }
}

impl StdError for ItemError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}
