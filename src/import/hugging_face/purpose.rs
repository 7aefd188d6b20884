//! What a folder is opened for.

/// What a folder is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Vectors of texts, as sentence-transformers makes them.
    Vectors,
    /// Classes of texts, as transformers tells them.
    Classes,
    /// Classes of pairs of texts, as transformers tells them.
    PairClasses,
    /// Scores of pairs, as sentence-transformers' cross-encoders make them.
    Pairs,
    /// Classes of tokens, as transformers tells them.
    Tokens,
    /// Weights of a vocabulary's words, as sentence-transformers' sparse encoders make them.
    Words,
    /// A vector of each token, as sentence-transformers' multi-vector encoders make them.
    TokenVectors,
    /// Vectors of images.
    #[cfg(feature = "vision")]
    Images,
    /// Classes of images, as transformers tells them.
    #[cfg(feature = "vision")]
    ImageClasses,
}

impl Purpose {
    /// Whether the files that sentence-transformers adds have no part in it.
    pub(super) fn is_of_transformers(self) -> bool {
        #[cfg(feature = "vision")]
        if self == Self::ImageClasses {
            return true;
        }
        matches!(self, Self::Classes | Self::PairClasses | Self::Tokens)
    }
}
