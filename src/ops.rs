//! The list of all operators, one operator a file, in folders by family.
//!
//! An operator's file holds its attributes, its decoder, its shape rule, the cases that every
//! backend is tested on, and its CPU kernel. A family's file lists its operators; [`all`] is the
//! whole list.

pub mod control;
pub mod conv;
pub mod deferred;
pub mod generate;
pub mod image;
pub mod index;
pub mod loss;
pub mod measured;
pub mod moves;
pub mod norm;
mod offsets;
pub(crate) mod open;
pub mod pointwise;
pub mod pool;
pub mod product;
pub mod quantized;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod sequence;
pub mod signal;
pub mod strings;
pub mod tabular;
pub(crate) mod tokens;
pub(crate) mod tracked;
pub(crate) mod wide;

use std::sync::{Arc, LazyLock};

use crate::{
    error::{Error, Result},
    op::{Decoder, OnnxNode, OpDef, Operator},
};

/// The list of all operators, by name.
pub fn all() -> &'static [&'static OpDef] {
    static ALL: LazyLock<Vec<&OpDef>> = LazyLock::new(|| {
        let mut all: Vec<&OpDef> = conv::operators()
            .chain(control::operators())
            .chain([&deferred::DEF, &measured::DEF])
            .chain(generate::operators())
            .chain(image::operators())
            .chain(index::operators())
            .chain(loss::operators())
            .chain(moves::operators())
            .chain(norm::operators())
            .chain(pointwise::operators())
            .chain(pool::operators())
            .chain(product::operators())
            .chain(quantized::operators())
            .chain(random::operators())
            .chain(recurrent::operators())
            .chain(reduce::operators())
            .chain(sequence::operators())
            .chain(signal::operators())
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
    ("Attention", product::attention::standard::decode),
    ("CastLike", pointwise::cast::decode_like),
    ("Flatten", moves::squeeze::decode_flatten),
    ("Scatter", index::scatter::elements::decode),
    ("Squeeze", moves::squeeze::decode_squeeze),
    ("Swish", pointwise::decode_swish),
    ("Unsqueeze", moves::squeeze::decode_unsqueeze),
    ("Upsample", image::resize::decode_upsample),
];

/// The operator of an ONNX node of a domain, decoded anew in each run where its operands say sizes
/// that only a run knows.
///
/// # Errors
/// When the operator is not known, or as its decoder.
pub fn decode(domain: &str, node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    if domain.is_empty()
        && let Some(deferred) = deferred::decode(node)?
    {
        return Ok(deferred);
    }
    let decode = find_onnx(domain, node.op_type());
    decode.ok_or_else(|| Error::unsupported(format!("{} is not built here", node.op_type())))?(node)
}

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
