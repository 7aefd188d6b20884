//! What dispatches bind: operands, results, packed weights, scratch.

/// A buffer that a dispatch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    /// An operand of the node, by position.
    Input(usize),
    /// A result of the node, by position.
    Output(usize),
    /// A packed constant.
    Weight(WeightId),
    /// The step's scratch buffer.
    Scratch,
    /// The word in which a shader reports a bad element; see `shaders/shared/fault.wgsl`.
    Fault,
}

/// The number of a packed constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WeightId(pub usize);

/// Storage format of the constant factors of products, and of look-up tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WeightFormat {
    /// f32, unchanged.
    #[default]
    F32,
    /// f16, rounded to nearest even after scaling each matrix by a power of two.
    F16,
}
