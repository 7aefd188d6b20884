//! The list of all operators, one operator a file, in folders by family.
//!
//! An operator's file holds its attributes, its decoder, its shape rule, the cases that every
//! backend is tested on, and its CPU kernel. A family's file lists its operators; [`all`] is the
//! whole list.

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
pub mod strings;
pub mod tabular;
pub(crate) mod tokens;
mod tracked;

use std::sync::LazyLock;

use crate::op::{Decoder, OpDef};

/// The list of all operators, by name.
pub fn all() -> &'static [&'static OpDef] {
    static ALL: LazyLock<Vec<&OpDef>> = LazyLock::new(|| {
        let mut all: Vec<&OpDef> = conv::operators()
            .chain(generate::operators())
            .chain(index::operators())
            .chain(moves::operators())
            .chain(norm::operators())
            .chain(pointwise::operators())
            .chain(pool::operators())
            .chain(product::operators())
            .chain(reduce::operators())
            .chain(strings::operators())
            .chain(tabular::operators())
            .collect();
        all.sort_by_key(|def| def.name);
        all
    });
    &ALL
}

/// Further ONNX names: read as another operator, or refused with a reason of their own.
static READ_AS: &[(&str, Decoder)] = &[
    ("CastLike", pointwise::cast::decode_like),
    ("Compress", refused::data_dependent),
    ("Dropout", moves::identity::decode_dropout),
    ("Flatten", moves::squeeze::decode_flatten),
    ("NonZero", refused::data_dependent),
    ("Scatter", index::scatter::elements::decode),
    ("Squeeze", moves::squeeze::decode_squeeze),
    ("Unique", refused::data_dependent),
    ("Unsqueeze", moves::squeeze::decode_unsqueeze),
];

/// The decoder of the operator that ONNX calls `name` in a domain; the default domain has no name.
pub fn find_onnx(domain: &str, name: &str) -> Option<Decoder> {
    // A dot would make a name of one domain that of another.
    if name.contains('.') {
        return None;
    }
    if !domain.is_empty() {
        let parts = |def: &OpDef| def.name.rsplit_once('.');
        let listed = all().iter().find(|def| parts(def) == Some((domain, name))).and_then(|def| def.onnx);
        let is_mapper = (domain, name) == ("ai.onnx.ml", "CategoryMapper");
        return listed.or(is_mapper.then_some(tabular::category_mapper::decode as Decoder));
    }
    let listed = all().iter().find(|def| def.name == name).and_then(|def| def.onnx);
    listed.or_else(|| READ_AS.iter().find(|(own, _)| *own == name).map(|(_, decoder)| *decoder))
}
