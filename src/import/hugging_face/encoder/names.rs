//! The names of an encoder's tensors in the files of each family.

use crate::import::hugging_face::config::Family;

/// The names of tensors; those of a layer stand behind the layer's own name.
pub(super) struct Names {
    /// In front of all names in files that hold a head too.
    pub(super) prefix: &'static str,
    pub(super) words: &'static str,
    pub(super) positions: &'static str,
    pub(super) token_types: &'static str,
    /// The norm of the summed embeddings.
    pub(super) embedding_norm: Option<&'static str>,
    /// The product that widens the embeddings.
    pub(super) projection: &'static str,
    /// The table of relative positions.
    pub(super) relative: &'static str,
    /// The norm behind the last layer.
    pub(super) final_norm: &'static str,
    /// A layer; `{}` stands for its number.
    pub(super) layer: &'static str,
    /// Queries, keys and values: three products, or one for all.
    pub(super) qkv: &'static [&'static str],
    pub(super) attention: &'static str,
    /// The norm of the attention's half: behind it, or in front of it.
    pub(super) attention_norm: &'static str,
    /// The norm of the attention's result, where there are two.
    pub(super) attention_result_norm: &'static str,
    /// The factors of normalized queries and keys.
    pub(super) head_norms: [&'static str; 2],
    /// The activated product and the one it is multiplied by: two products, or one for both.
    pub(super) up: &'static [&'static str],
    pub(super) down: &'static str,
    /// The norm of the second half.
    pub(super) norm: &'static str,
    pub(super) result_norm: &'static str,
    /// Whether the products have biases: those of queries, keys and values, of the attention, and of the second half.
    pub(super) biases: bool,
}

const BERT: Names = Names {
    prefix: "bert.",
    words: "embeddings.word_embeddings.weight",
    positions: "embeddings.position_embeddings.weight",
    token_types: "embeddings.token_type_embeddings.weight",
    embedding_norm: Some("embeddings.LayerNorm"),
    projection: "",
    relative: "",
    final_norm: "",
    layer: "encoder.layer.{}.",
    qkv: &["attention.self.query", "attention.self.key", "attention.self.value"],
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    attention_result_norm: "",
    head_norms: ["", ""],
    up: &["intermediate.dense"],
    down: "output.dense",
    norm: "output.LayerNorm",
    result_norm: "",
    biases: true,
};

const ROBERTA: Names = Names { prefix: "roberta.", ..BERT };

const ELECTRA: Names = Names { prefix: "electra.", projection: "embeddings_project", ..BERT };

const DISTILBERT: Names = Names {
    prefix: "distilbert.",
    layer: "transformer.layer.{}.",
    qkv: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: &["ffn.lin1"],
    down: "ffn.lin2",
    norm: "output_layer_norm",
    ..BERT
};

const ALBERT: Names = Names {
    prefix: "albert.",
    projection: "encoder.embedding_hidden_mapping_in",
    layer: "encoder.albert_layer_groups.{}.albert_layers.0.",
    qkv: &["attention.query", "attention.key", "attention.value"],
    attention: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: &["ffn"],
    down: "ffn_output",
    norm: "full_layer_layer_norm",
    ..BERT
};

const MPNET: Names = Names {
    prefix: "mpnet.",
    relative: "encoder.relative_attention_bias.weight",
    qkv: &["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attention: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    ..BERT
};

const XLM_ROBERTA_XL: Names = Names {
    prefix: "roberta.",
    embedding_norm: None,
    final_norm: "encoder.LayerNorm",
    attention_norm: "attention.self_attn_layer_norm",
    norm: "LayerNorm",
    ..BERT
};

const MODERN_BERT: Names = Names {
    prefix: "model.",
    words: "embeddings.tok_embeddings.weight",
    embedding_norm: Some("embeddings.norm"),
    final_norm: "final_norm",
    layer: "layers.{}.",
    qkv: &["attn.Wqkv"],
    attention: "attn.Wo",
    attention_norm: "attn_norm",
    up: &["mlp.Wi"],
    down: "mlp.Wo",
    norm: "mlp_norm",
    biases: false,
    ..BERT
};

const EURO_BERT: Names = Names {
    prefix: "model.",
    words: "embed_tokens.weight",
    embedding_norm: None,
    final_norm: "norm",
    layer: "layers.{}.",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    attention: "self_attn.o_proj",
    attention_norm: "input_layernorm",
    up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    norm: "post_attention_layernorm",
    biases: false,
    ..BERT
};

const QWEN3: Names = Names { head_norms: ["self_attn.q_norm", "self_attn.k_norm"], ..EURO_BERT };

const GEMMA3: Names = Names {
    attention_result_norm: "post_attention_layernorm",
    norm: "pre_feedforward_layernorm",
    result_norm: "post_feedforward_layernorm",
    ..QWEN3
};

const NOMIC_BERT: Names = Names {
    prefix: "bert.",
    embedding_norm: Some("emb_ln"),
    layer: "encoder.layers.{}.",
    qkv: &["attn.Wqkv"],
    attention: "attn.out_proj",
    attention_norm: "norm1",
    up: &["mlp.fc12", "mlp.fc11"],
    down: "mlp.fc2",
    norm: "norm2",
    biases: false,
    ..BERT
};

const T5: Names = Names {
    prefix: "",
    words: "shared.weight",
    embedding_norm: None,
    relative: "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    final_norm: "encoder.final_layer_norm",
    layer: "encoder.block.{}.layer.",
    qkv: &["0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v"],
    attention: "0.SelfAttention.o",
    attention_norm: "0.layer_norm",
    up: &["1.DenseReluDense.wi"],
    down: "1.DenseReluDense.wo",
    norm: "1.layer_norm",
    biases: false,
    ..BERT
};

const T5_GATED: Names = Names { up: &["1.DenseReluDense.wi_0", "1.DenseReluDense.wi_1"], ..T5 };

/// The names of a family's tensors.
pub(super) fn of(family: Family, gated: bool) -> &'static Names {
    match family {
        Family::Albert => &ALBERT,
        Family::Bert => &BERT,
        Family::DistilBert => &DISTILBERT,
        Family::Electra => &ELECTRA,
        Family::EuroBert => &EURO_BERT,
        Family::Gemma3 => &GEMMA3,
        Family::ModernBert => &MODERN_BERT,
        Family::Mpnet => &MPNET,
        Family::NomicBert => &NOMIC_BERT,
        Family::Qwen3 => &QWEN3,
        Family::Roberta => &ROBERTA,
        Family::T5 if gated => &T5_GATED,
        Family::T5 => &T5,
        Family::XlmRobertaXl => &XLM_ROBERTA_XL,
    }
}

/// Prefixes of tensors that belong to other heads, to a decoder, or to older versions.
pub(super) const UNUSED: &[&str] = &[
    "classifier.",
    "cls.",
    "decoder.",
    "dense.",
    "discriminator_predictions.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "encoder.embed_tokens.",
    "generator_lm_head.",
    "generator_predictions.",
    "head.",
    "lm_head.",
    "pooler.",
    "pre_classifier.",
    "predictions.",
    "qa_outputs.",
    "score.",
    "sop_classifier.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "vocab_transform.",
];
