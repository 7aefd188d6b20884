//! The tensors of an encoder and their names in each family.

use smallvec::{SmallVec, smallvec};

use crate::import::hugging_face::{
    config::{Config, Family},
    problems::Problems,
    weights::{Found, Weights},
};

/// The tensors of an encoder.
#[derive(Debug)]
pub(crate) struct Tensors {
    pub(super) words: Found,
    pub(super) positions: Found,
    pub(super) token_types: Option<Found>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
}

/// The tensors of one transformer layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) query: Affine,
    pub(super) key: Affine,
    pub(super) value: Affine,
    pub(super) attention: Affine,
    pub(super) attention_norm: Norm,
    pub(super) up: Affine,
    pub(super) down: Affine,
    pub(super) norm: Norm,
}

/// The linear layers that one product computes, with their weights side by side.
pub(super) type Product<'a> = SmallVec<[&'a Affine; 3]>;

impl Layer {
    /// The products of the layer in the order of the graph.
    pub(super) fn products(&self) -> [Product<'_>; 4] {
        let joined = smallvec![&self.query, &self.key, &self.value];
        [joined, smallvec![&self.attention], smallvec![&self.up], smallvec![&self.down]]
    }
}

/// A linear layer: a weight `[out, in]` and a bias `[out]`.
#[derive(Debug)]
pub(super) struct Affine {
    pub(super) weight: Found,
    pub(super) bias: Found,
}

/// A layer norm: scale and bias.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) scale: Found,
    pub(super) bias: Found,
}

/// The names of the parts of a layer in a file.
struct Names {
    layer: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    attention: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    norm: &'static str,
}

const BERT: Names = Names {
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm: "output.LayerNorm",
};

const DISTILBERT: Names = Names {
    layer: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    norm: "output_layer_norm",
};

/// Prefixes of tensors that belong to other heads or older versions.
const UNUSED: &[&str] = &[
    "cls.",
    "classifier.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "lm_head.",
    "pooler.",
    "pre_classifier.",
    "qa_outputs.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "vocab_transform.",
];

/// Finds the tensors of the encoder; a missing, misshapen or unused tensor is a problem.
pub(crate) fn resolve(config: &Config, weights: &Weights, problems: &mut Problems) -> Tensors {
    let prefix = match config.family {
        Family::Bert => "bert.",
        Family::Roberta => "roberta.",
        Family::DistilBert => "distilbert.",
    };
    let prefixed =
        weights.names().any(|name| name.strip_prefix(prefix).is_some_and(|name| name.starts_with("embeddings.")));
    let prefix = if prefixed { prefix } else { "" };
    let Config { hidden, intermediate, .. } = *config;
    let mut finder = Finder { prefix, weights, problems, used: Vec::new() };
    let names = if config.family == Family::DistilBert { &DISTILBERT } else { &BERT };
    let mut table =
        |name: &str, rows: usize| finder.tensor(&[format!("embeddings.{name}_embeddings.weight")], &[rows, hidden]);
    let tensors = Tensors {
        words: table("word", config.vocabulary),
        positions: table("position", config.position_rows),
        token_types: config.token_types.map(|rows| table("token_type", rows)),
        norm: finder.norm("embeddings.LayerNorm", hidden),
        layers: (0..config.layers)
            .map(|index| {
                let name = |part: &str| format!("{}.{index}.{part}", names.layer);
                Layer {
                    query: finder.affine(&name(names.query), hidden, hidden),
                    key: finder.affine(&name(names.key), hidden, hidden),
                    value: finder.affine(&name(names.value), hidden, hidden),
                    attention: finder.affine(&name(names.attention), hidden, hidden),
                    attention_norm: finder.norm(&name(names.attention_norm), hidden),
                    up: finder.affine(&name(names.up), hidden, intermediate),
                    down: finder.affine(&name(names.down), intermediate, hidden),
                    norm: finder.norm(&name(names.norm), hidden),
                }
            })
            .collect(),
    };
    finder.refuse_others();
    tensors
}

/// Finds tensors by name and records the names it has used.
struct Finder<'a> {
    prefix: &'a str,
    weights: &'a Weights,
    problems: &'a mut Problems,
    used: Vec<String>,
}

impl Finder<'_> {
    fn tensor(&mut self, names: &[String], shape: &[usize]) -> Found {
        let names: Vec<_> = names.iter().map(|name| format!("{}{name}", self.prefix)).collect();
        let found = self.weights.find(&names, shape, self.problems);
        self.used.push(found.name().to_owned());
        found
    }

    fn affine(&mut self, name: &str, inputs: usize, outputs: usize) -> Affine {
        Affine {
            weight: self.tensor(&[format!("{name}.weight")], &[outputs, inputs]),
            bias: self.tensor(&[format!("{name}.bias")], &[outputs]),
        }
    }

    /// Finds a layer norm; files converted from TensorFlow name scale and bias gamma and beta.
    fn norm(&mut self, name: &str, size: usize) -> Norm {
        Norm {
            scale: self.tensor(&[format!("{name}.weight"), format!("{name}.gamma")], &[size]),
            bias: self.tensor(&[format!("{name}.bias"), format!("{name}.beta")], &[size]),
        }
    }

    fn refuse_others(mut self) {
        self.used.sort_unstable();
        for name in
            self.weights.names().filter(|name| self.used.binary_search_by(|used| used.as_str().cmp(name)).is_err())
        {
            let own = name.strip_prefix(self.prefix).unwrap_or(name);
            if !UNUSED.iter().any(|unused| own.starts_with(unused)) {
                self.problems
                    .add(|| format!("the tensor `{name}` has no place in the model that config.json describes"));
            }
        }
    }
}
