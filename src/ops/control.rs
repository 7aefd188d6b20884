//! Operators that hold graphs; the session runs them.

pub mod conditional;
pub mod map;
pub mod repeat;
pub mod scan;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&conditional::DEF, &map::DEF, &repeat::DEF, &scan::DEF].into_iter()
}

/// Whether the importer converts the operator that ONNX calls `name`, with its graphs.
pub fn is_control(name: &str) -> bool {
    matches!(name, "If" | "Loop" | "Scan" | "SequenceMap")
}
