//! The operators that the importer puts together from others.

/// Whether every node of an operator is put together from others.
pub(super) fn is_composed(domain: &str, op_type: &str) -> bool {
    matches!(
        (domain, op_type),
        ("", "CausalConvWithState" | "SwiGLU") | ("ai.onnx.preview.training", "Adagrad" | "Adam" | "Momentum")
    ) || is_flex_attention(domain, op_type)
}

/// Whether nodes of the operator hold graphs that change scores and probabilities.
pub(super) fn is_flex_attention(domain: &str, op_type: &str) -> bool {
    (domain, op_type) == ("ai.onnx.preview", "FlexAttention")
}
