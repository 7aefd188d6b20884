//! Operators that are read as several of ONNX's own.

use crate::ops::control::is_control;

/// The domain of ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";

macro_rules! lowered {
    ($($name:ident),* $(,)?) => {
        /// An operator that a node is not built of as it is; most are ONNX Runtime's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Lowered { $($name,)* }

        impl Lowered {
            /// The operator of that name, if it is one of these.
            pub(super) fn find(domain: &str, op_type: &str) -> Option<Self> {
                // ONNX Runtime's optimizer writes this one without a domain.
                let fits = domain == MICROSOFT || (domain.is_empty() && op_type == "SimplifiedLayerNormalization");
                match op_type {
                    $(stringify!($name) if fits => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}
lowered! {
    Attention,
    BiasAdd,
    BiasDropout,
    BiasGelu,
    DequantizeLinear,
    DynamicQuantizeMatMul,
    EmbedLayerNormalization,
    ExpandDims,
    FastGelu,
    FusedConv,
    FusedGemm,
    FusedMatMul,
    FusedMatMulActivation,
    GatherND,
    Gelu,
    GemmFastGelu,
    GridSample,
    GroupQueryAttention,
    MatMulIntegerToFloat,
    MatMulNBits,
    MulInteger,
    MultiHeadAttention,
    NhwcMaxPool,
    Pad,
    QAttention,
    QEmbedLayerNormalization,
    QGemm,
    QLinearAdd,
    QLinearAveragePool,
    QLinearConcat,
    QLinearConv,
    QLinearGlobalAveragePool,
    QLinearLeakyRelu,
    QLinearMul,
    QLinearReduceMean,
    QLinearSigmoid,
    QLinearSoftmax,
    QLinearWhere,
    QuantizeLinear,
    QuickGelu,
    Range,
    ReduceSumInteger,
    RotaryEmbedding,
    SimplifiedLayerNormalization,
    SkipLayerNormalization,
    SkipSimplifiedLayerNormalization,
    TransposeMatMul,
    Trilu,
}

/// Whether nodes of the operator hold graphs that change scores and probabilities.
pub(super) fn is_flex_attention(domain: &str, op_type: &str) -> bool {
    (domain, op_type) == ("ai.onnx.preview", "FlexAttention")
}

/// Whether nodes of the operator of that name may hold graphs.
pub(super) fn holds_graphs(op_type: &str) -> bool {
    is_control(op_type) || op_type == "FlexAttention"
}
