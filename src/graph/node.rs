//! Nodes: operators applied to values.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::ValueId,
    op::Operator,
    shape::Symbol,
};

/// One operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name that the file gave it, for messages.
    pub name: String,
    /// The operator with its attributes.
    pub op: Arc<dyn Operator>,
    /// The operands; an optional one may be absent.
    pub inputs: Vec<Option<ValueId>>,
    /// The results.
    pub outputs: Vec<ValueId>,
    /// Symbols for the sizes that only a run tells, which the node's kernel binds.
    pub(crate) measured: Vec<Symbol>,
}

impl Node {
    /// The operator, if it is a `T`.
    pub fn op<T: Operator>(&self) -> Option<&T> {
        self.op.downcast_ref()
    }

    /// The node's name and operator, for messages.
    pub fn describe(&self) -> String {
        format!("node `{}` ({})", self.name, self.op.def().name)
    }

    /// The operator as the type that its kernel expects.
    ///
    /// # Errors
    /// When it is not a `T`: the list of operators is wrong.
    pub(crate) fn expect_op<T: Operator>(&self) -> Result<&T> {
        self.op().ok_or_else(|| Error::internal(format!("{} is of another type", self.describe())))
    }
}
