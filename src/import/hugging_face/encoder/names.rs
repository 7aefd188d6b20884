//! The names of an encoder's tensors in the files of each family.

use std::iter;

use crate::import::hugging_face::{
    config::{Config, Family},
    weights::Weights,
};

/// The names of tensors; those of a layer stand behind the layer's own name.
pub(super) struct Names {
    /// In front of all names in files that hold a head too.
    pub(super) prefix: &'static str,
    pub(super) words: &'static str,
    /// Other names of the same table, of which a file may hold one instead.
    pub(super) other_words: &'static [&'static str],
    pub(super) positions: &'static str,
    pub(super) token_types: &'static str,
    pub(super) task_types: &'static str,
    /// The norm of the summed embeddings.
    pub(super) embedding_norm: Option<&'static str>,
    /// The product that widens the embeddings.
    pub(super) projection: &'static str,
    /// The table of relative positions, and its norm.
    pub(super) relative: &'static str,
    pub(super) relative_norm: &'static str,
    /// The table of relative positions of a layer that has its own.
    pub(super) layer_relative: &'static str,
    /// The products that make keys and queries of relative positions.
    pub(super) position_parts: [&'static str; 2],
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
    /// The attention to the encoder's results, in a decoder.
    pub(super) cross: Option<CrossNames>,
    /// The factors of normalized queries and keys.
    pub(super) head_norms: [&'static str; 2],
    /// The activated product and the one it is multiplied by: two products, or one for both.
    pub(super) up: &'static [&'static str],
    pub(super) down: &'static str,
    /// The norm of the second half.
    pub(super) norm: &'static str,
    pub(super) result_norm: &'static str,
    /// Whether of one product for both the activated half is the second.
    pub(super) activated_last: bool,
    /// The norms of all queries and of all keys of a token.
    pub(super) wide_norms: Option<[&'static str; 2]>,
    /// A norm of the first half's result and its input, behind the one of the attention.
    pub(super) second_norm: Option<&'static str>,
    /// The factors of the columns of each half's result.
    pub(super) column_factors: [&'static str; 2],
    /// The vector of the row in front of an image's patches.
    pub(super) class: &'static str,
    /// Beginnings of the names of tensors that stand beside the encoder's.
    pub(super) others: &'static [&'static str],
    pub(super) biases: Biases,
}

/// The names of a decoder's attention to the encoder's results.
pub(super) struct CrossNames {
    pub(super) query: &'static str,
    /// Keys and values.
    pub(super) memory: [&'static str; 2],
    pub(super) attention: &'static str,
    pub(super) norm: &'static str,
}

/// Which products have biases.
#[derive(Clone, Copy)]
pub(super) struct Biases {
    /// Those of queries, keys and values.
    pub(super) qkv: bool,
    /// That of the attention's result.
    pub(super) attention: bool,
    /// The first of the second half.
    pub(super) up: bool,
    /// The last.
    pub(super) down: bool,
    /// The one that makes keys of relative positions.
    pub(super) position_keys: bool,
}

const ALL: Biases = Biases { qkv: true, attention: true, up: true, down: true, position_keys: true };
const NONE: Biases = Biases { qkv: false, attention: false, up: false, down: false, position_keys: false };
const GATED: Biases = Biases { up: false, ..ALL };

const BERT: Names = Names {
    prefix: "bert.",
    words: "embeddings.word_embeddings.weight",
    other_words: &[],
    positions: "embeddings.position_embeddings.weight",
    token_types: "embeddings.token_type_embeddings.weight",
    task_types: "embeddings.task_type_embeddings.weight",
    embedding_norm: Some("embeddings.LayerNorm"),
    projection: "",
    relative: "",
    relative_norm: "",
    layer_relative: "",
    position_parts: ["", ""],
    final_norm: "",
    layer: "encoder.layer.{}.",
    qkv: &["attention.self.query", "attention.self.key", "attention.self.value"],
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    attention_result_norm: "",
    cross: None,
    head_norms: ["", ""],
    up: &["intermediate.dense"],
    down: "output.dense",
    norm: "output.LayerNorm",
    result_norm: "",
    activated_last: false,
    wide_norms: None,
    second_norm: None,
    column_factors: ["", ""],
    class: "",
    others: &[],
    biases: ALL,
};

const ROBERTA: Names = Names { prefix: "roberta.", ..BERT };

const ERNIE: Names = Names { prefix: "ernie.", ..BERT };

const ESM: Names = Names {
    prefix: "esm.",
    embedding_norm: None,
    final_norm: "encoder.emb_layer_norm_after",
    attention_norm: "attention.LayerNorm",
    norm: "LayerNorm",
    others: &["contact_head."],
    ..BERT
};

const ESM_NORMED: Names = Names { embedding_norm: Some("embeddings.layer_norm"), ..ESM };

const ELECTRA: Names = Names { prefix: "electra.", projection: "embeddings_project", ..BERT };

const DEBERTA_V2: Names = Names {
    prefix: "deberta.",
    projection: "embeddings.embed_proj",
    relative: "encoder.rel_embeddings.weight",
    relative_norm: "encoder.LayerNorm",
    position_parts: ["attention.self.pos_key_proj", "attention.self.pos_query_proj"],
    qkv: &["attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"],
    ..BERT
};

const DEBERTA: Names = Names {
    position_parts: ["attention.self.pos_proj", "attention.self.pos_q_proj"],
    qkv: &["attention.self.in_proj"],
    biases: Biases { position_keys: false, ..ALL },
    ..DEBERTA_V2
};

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

const GTE: Names = Names {
    prefix: "gte.",
    qkv: &["attention.qkv_proj"],
    attention: "attention.o_proj",
    attention_norm: "attn_ln",
    up: &["mlp.up_gate_proj"],
    down: "mlp.down_proj",
    norm: "mlp_ln",
    activated_last: true,
    biases: GATED,
    ..BERT
};

const JINA_BERT: Names =
    Names { up: &["mlp.gated_layers"], down: "mlp.wo", norm: "mlp.layernorm", biases: GATED, ..BERT };

const JINA_BERT_CODE: Names = Names {
    up: &["mlp.up_gated_layer"],
    down: "mlp.down_layer",
    norm: "layer_norm_2",
    activated_last: true,
    wide_norms: Some(["attention.self.layer_norm_q", "attention.self.layer_norm_k"]),
    second_norm: Some("layer_norm_1"),
    biases: GATED,
    ..BERT
};

const JINA_V3: Names = Names {
    prefix: "roberta.",
    embedding_norm: Some("emb_ln"),
    layer: "encoder.layers.{}.",
    qkv: &["mixer.Wqkv"],
    attention: "mixer.out_proj",
    attention_norm: "norm1",
    up: &["mlp.fc1"],
    down: "mlp.fc2",
    norm: "norm2",
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
    biases: NONE,
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
    biases: NONE,
    ..BERT
};

const QWEN2: Names = Names { biases: Biases { qkv: true, ..NONE }, ..EURO_BERT };

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
    biases: NONE,
    ..BERT
};

const NOMIC_BERT_EXPERTS: Names = Names { up: &["mlp.fc1"], biases: ALL, ..NOMIC_BERT };

const T5: Names = Names {
    prefix: "transformer.",
    words: "shared.weight",
    other_words: &["encoder.embed_tokens.weight"],
    embedding_norm: None,
    relative: "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    layer_relative: "0.SelfAttention.relative_attention_bias.weight",
    final_norm: "encoder.final_layer_norm",
    layer: "encoder.block.{}.layer.",
    qkv: &["0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v"],
    attention: "0.SelfAttention.o",
    attention_norm: "0.layer_norm",
    up: &["1.DenseReluDense.wi"],
    down: "1.DenseReluDense.wo",
    norm: "1.layer_norm",
    biases: NONE,
    ..BERT
};

const T5_GATED: Names = Names { up: &["1.DenseReluDense.wi_0", "1.DenseReluDense.wi_1"], ..T5 };

const T5_DECODER: Names = Names {
    other_words: &["decoder.embed_tokens.weight", "encoder.embed_tokens.weight"],
    relative: "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    final_norm: "decoder.final_layer_norm",
    layer: "decoder.block.{}.layer.",
    cross: Some(CrossNames {
        query: "1.EncDecAttention.q",
        memory: ["1.EncDecAttention.k", "1.EncDecAttention.v"],
        attention: "1.EncDecAttention.o",
        norm: "1.layer_norm",
    }),
    up: &["2.DenseReluDense.wi"],
    down: "2.DenseReluDense.wo",
    norm: "2.layer_norm",
    // Files of older versions hold a table that is not read.
    others: &["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.", "decoder.embed_tokens."],
    ..T5
};

const T5_DECODER_GATED: Names = Names { up: &["2.DenseReluDense.wi_0", "2.DenseReluDense.wi_1"], ..T5_DECODER };

const BART: Names = Names {
    prefix: "model.",
    words: "encoder.embed_tokens.weight",
    other_words: &["shared.weight", "decoder.embed_tokens.weight"],
    positions: "encoder.embed_positions.weight",
    embedding_norm: Some("encoder.layernorm_embedding"),
    final_norm: "encoder.layer_norm",
    layer: "encoder.layers.{}.",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    attention: "self_attn.out_proj",
    attention_norm: "self_attn_layer_norm",
    up: &["fc1"],
    down: "fc2",
    norm: "final_layer_norm",
    others: &["decoder.version", "encoder.version", "final_logits_bias", "shared."],
    ..BERT
};

const BART_DECODER: Names = Names {
    words: "decoder.embed_tokens.weight",
    other_words: &["shared.weight", "encoder.embed_tokens.weight"],
    positions: "decoder.embed_positions.weight",
    embedding_norm: Some("decoder.layernorm_embedding"),
    final_norm: "decoder.layer_norm",
    layer: "decoder.layers.{}.",
    cross: Some(CrossNames {
        query: "encoder_attn.q_proj",
        memory: ["encoder_attn.k_proj", "encoder_attn.v_proj"],
        attention: "encoder_attn.out_proj",
        norm: "encoder_attn_layer_norm",
    }),
    ..BART
};

const CLIP_TEXT: Names = Names {
    prefix: "text_model.",
    words: "embeddings.token_embedding.weight",
    positions: "embeddings.position_embedding.weight",
    embedding_norm: None,
    final_norm: "final_layer_norm",
    layer: "encoder.layers.{}.",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    attention: "self_attn.out_proj",
    attention_norm: "layer_norm1",
    up: &["mlp.fc1"],
    down: "mlp.fc2",
    norm: "layer_norm2",
    others: &["text_projection.", "vision_model.", "visual_projection.", "logit_scale", "logit_bias"],
    ..BERT
};

#[cfg(feature = "vision")]
const SIGLIP_VISION: Names = Names {
    prefix: "vision_model.",
    words: "embeddings.patch_embedding.weight",
    final_norm: "post_layernorm",
    others: &["text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias"],
    ..CLIP_TEXT
};

#[cfg(feature = "vision")]
const CLIP_VISION: Names =
    Names { class: "embeddings.class_embedding", embedding_norm: Some("pre_layrnorm"), ..SIGLIP_VISION };

#[cfg(feature = "vision")]
const VIT: Names = Names {
    prefix: "vit.",
    words: "embeddings.patch_embeddings.projection.weight",
    positions: "embeddings.position_embeddings",
    class: "embeddings.cls_token",
    embedding_norm: None,
    final_norm: "layernorm",
    qkv: &["attention.attention.query", "attention.attention.key", "attention.attention.value"],
    attention: "attention.output.dense",
    attention_norm: "layernorm_before",
    norm: "layernorm_after",
    others: &["embeddings.mask_token"],
    ..BERT
};

#[cfg(feature = "vision")]
const DINOV2: Names = Names {
    prefix: "dinov2.",
    attention_norm: "norm1",
    up: &["mlp.fc1"],
    down: "mlp.fc2",
    norm: "norm2",
    column_factors: ["layer_scale1.lambda1", "layer_scale2.lambda1"],
    ..VIT
};

#[cfg(feature = "vision")]
const DINOV2_GATED: Names = Names { up: &["mlp.weights_in"], down: "mlp.weights_out", ..DINOV2 };

impl Names {
    /// The names that the table of words' vectors may have.
    pub(super) fn all_words(&self) -> impl Iterator<Item = &'static str> {
        iter::once(self.words).chain(self.other_words.iter().copied())
    }
}

/// The names of a family's tensors.
pub(super) fn of(config: &Config, weights: &Weights) -> &'static Names {
    let (family, gated) = (config.family, config.gated);
    let has = |end: &str| weights.names().any(|name| name.ends_with(end));
    match family {
        Family::Albert => &ALBERT,
        Family::Bart => &BART,
        Family::BartDecoder => &BART_DECODER,
        Family::Bert => &BERT,
        Family::ClipText | Family::SiglipText => &CLIP_TEXT,
        #[cfg(feature = "vision")]
        Family::ClipVision => &CLIP_VISION,
        Family::Deberta => &DEBERTA,
        Family::DebertaV2 => &DEBERTA_V2,
        #[cfg(feature = "vision")]
        Family::Dinov2 if gated => &DINOV2_GATED,
        #[cfg(feature = "vision")]
        Family::Dinov2 => &DINOV2,
        Family::DistilBert => &DISTILBERT,
        Family::Electra => &ELECTRA,
        Family::Ernie => &ERNIE,
        Family::Esm => &ESM,
        Family::EsmNormed => &ESM_NORMED,
        Family::EuroBert | Family::Llama | Family::Mistral => &EURO_BERT,
        Family::Gemma3 => &GEMMA3,
        Family::Gte => &GTE,
        Family::JinaBert if has("attention.self.layer_norm_q.weight") => &JINA_BERT_CODE,
        Family::JinaBert => &JINA_BERT,
        Family::JinaV3 => &JINA_V3,
        Family::ModernBert => &MODERN_BERT,
        Family::Mpnet => &MPNET,
        Family::NomicBert if config.experts.is_some() => &NOMIC_BERT_EXPERTS,
        Family::NomicBert => &NOMIC_BERT,
        Family::Qwen2 => &QWEN2,
        Family::Qwen3 => &QWEN3,
        Family::Roberta => &ROBERTA,
        #[cfg(feature = "vision")]
        Family::SiglipVision => &SIGLIP_VISION,
        Family::T5 if gated => &T5_GATED,
        Family::T5 => &T5,
        Family::T5Decoder if gated => &T5_DECODER_GATED,
        Family::T5Decoder => &T5_DECODER,
        #[cfg(feature = "vision")]
        Family::Vit => &VIT,
        Family::XlmRobertaXl => &XLM_ROBERTA_XL,
    }
}

/// The prefix of a decoder's tensors.
pub(super) const DECODER: &str = "decoder.";

/// Prefixes of tensors that belong to other heads, to a decoder, or to older versions.
pub(super) const UNUSED: &[&str] = &[
    "classification_head.",
    "classifier.",
    "cls.",
    DECODER,
    "dense.",
    "discriminator_predictions.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "encoder.embed_tokens.",
    "generator_lm_head.",
    "generator_predictions.",
    "head.",
    "lm_head.",
    "lm_predictions.",
    "mask_predictions.",
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
