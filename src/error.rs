//! The error type: a kind to branch on, a message, the places it passed, and its cause.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Category of an error, coarse enough to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing failed; [`Error::downcast_ref`] returns the operating system's error.
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
/// Opaque: branch on [`Error::kind`], print with `{}`, get the error that it wraps with
/// [`Error::downcast_ref`]. Printing includes the wrapped error, so
/// [`source`](StdError::source) returns what lies below that one: printers of whole chains say
/// each cause once. `{:?}` prints the whole chain.
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

    /// The error of a user's closure; an error of this library, or of the operating system, keeps its
    /// kind.
    pub(crate) fn of_closure(error: AnyError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        let kind = if error.is::<std::io::Error>() { ErrorKind::Io } else { ErrorKind::User };
        let mut error = Self::user(error);
        error.0.kind = kind;
        error
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

/// Any error of a user's closure, as `?` makes one.
pub(crate) type AnyError = Box<dyn StdError + Send + Sync>;

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
        write!(f, "{:?}: {}", self.0.kind, chain(self))
    }
}

/// The cause below the wrapped error, whose text is printed with this one.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().and_then(|source| source.source())
    }
}

/// An error and all its causes, in one text.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let (mut text, mut below) = (error.to_string(), error.source());
    while let Some(cause) = below {
        text += ": ";
        text += &cause.to_string();
        below = cause.source();
    }
    text
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
///
/// A cancelled item has the stage that it waited for.
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
///
/// Printing includes the cause, as with [`Error`].
#[derive(Clone, Debug)]
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
        self.source.source()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// An error whose text does not include its cause, as most libraries write theirs.
    #[derive(Debug)]
    struct Quota(io::Error);

    impl fmt::Display for Quota {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("quota 9")
        }
    }

    impl StdError for Quota {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    fn quota() -> Quota {
        Quota(io::Error::other("disk 7"))
    }

    #[test]
    fn a_chain_says_each_thing_once() {
        let item = |source| ItemError { index: 3, stage: Stage::Finish, source };
        let inner = || Error::user(quota()).context("in a file");
        let errors: [(Box<dyn StdError + Send + Sync>, &[&str]); 9] = [
            (Box::new(Error::new(ErrorKind::Limit, "too long")), &["too long"]),
            (Box::new(Error::user("a text")), &["a text"]),
            (Box::new(Error::user(quota())), &["quota 9", "disk 7"]),
            (Box::new(inner()), &["in a file", "quota 9", "disk 7"]),
            (Box::new(Error::user(inner())), &["in a file", "quota 9", "disk 7"]),
            (Box::new(Error::io(io::Error::other("disk 7"), "writing")), &["writing", "disk 7"]),
            (Box::new(Error::io(io::Error::other(quota()), "writing")), &["writing", "quota 9", "disk 7"]),
            (Box::new(item(inner())), &["item 3", "finish", "in a file", "quota 9", "disk 7"]),
            (Box::new(Error::user(item(inner()))), &["item 3", "finish", "in a file", "quota 9", "disk 7"]),
        ];
        for (error, parts) in errors {
            let text = chain(&*error);
            for part in parts {
                assert_eq!(text.matches(part).count(), 1, "{part} in {text}");
                assert!(format!("{error:?}").matches(part).count() <= 1, "{part} in {error:?}");
            }
        }
    }

    #[test]
    fn the_wrapped_error_is_at_hand() {
        let error = Error::user(quota()).context("in a file");
        assert_eq!((error.to_string(), error.kind()), ("in a file: quota 9".into(), ErrorKind::User));
        assert!(error.downcast_ref::<Quota>().is_some_and(|quota| quota.0.kind() == io::ErrorKind::Other));
        let error = Error::io(io::ErrorKind::NotFound.into(), "opening");
        assert_eq!(error.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }
}
