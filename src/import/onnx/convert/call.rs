//! A node that is about to be added to the graph.

use crate::{graph::ValueId, op::Attribute};

/// A node whose attributes and operands are known.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// The domain; empty for the default domain.
    pub(super) domain: &'a str,
    /// The version of the domain's operator set.
    pub(super) opset: i64,
    pub(super) op_type: &'a str,
    pub(super) attributes: Vec<(String, Attribute)>,
    pub(super) inputs: Vec<Option<ValueId>>,
    /// The number of results up to the last that is used.
    pub(super) outputs: usize,
    /// The number of results that the node names.
    pub(super) named: usize,
}
