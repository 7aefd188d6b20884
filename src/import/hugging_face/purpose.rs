//! What a folder is opened for.

/// What a folder is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Vectors of texts, as sentence-transformers makes them.
    Vectors,
    /// Classes of texts, as transformers tells them.
    Classes,
    /// Scores of pairs, as sentence-transformers' cross-encoders make them.
    Pairs,
}
