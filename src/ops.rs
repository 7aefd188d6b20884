//! The list of all operators, one operator a file, in folders by family.
//!
//! An operator is one file: its attributes, how ONNX writes it, its shape rule, the cases that every backend is tested
//! on, and how each backend runs it. [`all`] is the list that tests and benches iterate.

pub mod conv;
pub mod generate;
pub mod index;
pub mod moves;
pub mod norm;
mod offsets;
pub mod pointwise;
pub mod pool;
pub mod product;
pub mod reduce;
mod refused;
mod tracked;

use std::sync::LazyLock;

use crate::op::{Decoder, OpDef};

/// The list of all operators; a further one is one line here.
pub fn all() -> &'static [&'static OpDef] {
    static ALONE: &[&OpDef] = &[
        &norm::channel_norm::BATCH,
        &norm::channel_norm::GROUP,
        &norm::channel_norm::INSTANCE,
        &norm::layer_norm::DEF,
        &norm::lp_normalize::LP,
        &norm::lp_normalize::RMS,
        &norm::softmax::LOG_SOFTMAX,
        &norm::softmax::SOFTMAX,
        &pool::AVERAGE_POOL,
        &reduce::arg_reduce::ARG_MAX,
        &reduce::arg_reduce::ARG_MIN,
        &product::attention::ATTENTION,
        &pointwise::cast::DEF,
        &moves::concat::DEF,
        &generate::constant::DEF,
        &generate::constant_of_shape::DEF,
        &conv::DEF,
        &reduce::cum_sum::DEF,
        &moves::depth_to_space::DEPTH_TO_SPACE,
        &moves::expand::DEF,
        &generate::trilu::EYE_LIKE,
        &pool::GLOBAL_AVERAGE_POOL,
        &pool::GLOBAL_MAX_POOL,
        &index::gather::DEF,
        &index::gather_elements::DEF,
        &index::gather_nd::DEF,
        &product::gemm::GEMM,
        &moves::identity::DEF,
        &norm::l2_normalize::DEF,
        &product::linear::LINEAR,
        &product::linear::LINEAR_IN_PLACE,
        &pool::MAX_POOL,
        &product::matmul::DEF,
        &index::one_hot::DEF,
        &product::attention::PACKED,
        &moves::pad::DEF,
        &generate::range::DEF,
        &moves::reshape::DEF,
        &index::scatter::ELEMENTS,
        &index::scatter::ND,
        &pool::segment_pool::DEF,
        &generate::shape_of::DEF,
        &generate::shape_of::SIZE,
        &moves::slice::DEF,
        &moves::depth_to_space::SPACE_TO_DEPTH,
        &moves::split::DEF,
        &moves::tile::DEF,
        &index::top_k::DEF,
        &moves::transpose::DEF,
        &generate::trilu::TRILU,
        &pointwise::select::DEF,
    ];
    static ALL: LazyLock<Vec<&OpDef>> = LazyLock::new(|| {
        let tables = pointwise::rows().chain(reduce::ROWS);
        ALONE.iter().copied().chain(tables).collect()
    });
    &ALL
}

/// ONNX operators that are read as another one of the list, and those that are refused with a reason of their own.
static READ_AS: &[(&str, Decoder)] = &[
    ("CastLike", pointwise::cast::decode_like),
    ("Compress", refused::data_dependent),
    ("Dropout", moves::identity::decode_dropout),
    ("Flatten", moves::squeeze::decode_flatten),
    ("NonZero", refused::data_dependent),
    ("Scatter", index::scatter::decode_elements),
    ("Squeeze", moves::squeeze::decode_squeeze),
    ("Unique", refused::data_dependent),
    ("Unsqueeze", moves::squeeze::decode_unsqueeze),
];

/// What reads the operator that ONNX calls `name`.
pub fn find_onnx(name: &str) -> Option<Decoder> {
    let listed = all().iter().find(|def| def.name == name).and_then(|def| def.onnx);
    listed.or_else(|| READ_AS.iter().find(|(own, _)| *own == name).map(|(_, decoder)| *decoder))
}
