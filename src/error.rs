//! The one error type: a kind to branch on, a message to read, the places it passed, and its cause.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing failed; the source is the operating system's error.
    Io,
    /// A model file is damaged, inconsistent or hostile.
    InvalidModel,
    /// The file is sound but asks for something that is not built here.
    Unsupported,
    /// An input does not fit the model: its name, type, shape or a value in it.
    InvalidInput,
    /// A cap on size, depth or number was reached.
    Limit,
    /// User code (a closure, a model of the user's own) returned an error.
    User,
    /// User code or a kernel panicked; the message is the panic's.
    Panic,
    /// The job was cancelled or ran past its deadline.
    Cancelled,
    /// The device asked for is absent or failed.
    Device,
    /// A promise inside this library was broken; please report it.
    Internal,
}

/// Any failure of this library. Opaque: branch on [`Error::kind`], print with `{}`, reach a cause with
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
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), context: Vec::new(), source: None }))
    }

    /// Wraps an error of the caller's own, which [`downcast_ref`](Self::downcast_ref) finds again.
    pub fn user(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = Arc::<dyn StdError + Send + Sync>::from(source.into());
        Self(Box::new(Inner {
            kind: ErrorKind::User,
            message: source.to_string(),
            context: Vec::new(),
            source: Some(source),
        }))
    }

    /// An operating-system error with the sentence that says what was being done.
    pub fn io(source: std::io::Error, doing: impl Into<String>) -> Self {
        let message = format!("{}: {source}", doing.into());
        Self(Box::new(Inner { kind: ErrorKind::Io, message, context: Vec::new(), source: Some(Arc::new(source)) }))
    }

    /// A damaged or hostile model file.
    pub fn invalid_model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidModel, message)
    }

    /// Something that is not built here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An input that does not fit.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// A cap was reached.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }

    /// A broken promise inside the library.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds the place the error passed (a file, a node); the outermost place is printed first.
    #[must_use]
    pub fn context(mut self, place: impl Into<String>) -> Self {
        self.0.context.push(place.into());
        self
    }

    /// The kind, for branching.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The caller's own error, if that is what lies underneath.
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

/// Adds a place to an error on its way out.
pub(crate) trait Context<T> {
    /// Names the place, made only when there is an error.
    fn context(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.context(place()))
    }
}

/// Where on its way an item failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The source gave an error instead of an item.
    Read,
    /// Preparing the item (tokenizing, decoding).
    Prepare,
    /// The model itself.
    Run,
    /// Finishing the output (pooling, labels).
    Finish,
    /// Handing the result on.
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

/// The failure of one item of a job: which one, where, and why.
#[derive(Debug)]
pub struct ItemError {
    /// The item's position in the whole job, counted from 0.
    pub index: usize,
    /// The stage that failed.
    pub stage: Stage,
    /// Why.
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
