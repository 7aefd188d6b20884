//! The parts that encoders are composed of.

use std::collections::BTreeMap;

use crate::kernels::{Activation, attention::Reach};

/// Where a layer is normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import::hugging_face) enum Placement {
    /// The sum of each half and its input.
    After,
    /// The input of each half; the last sum has a norm of its own.
    Before,
    /// As `Before`, and the result of each half before it is added.
    Around,
}

/// How vectors are normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import::hugging_face) enum NormKind {
    /// By mean and variance, with scale and bias.
    Layer,
    /// By mean and variance, with a scale alone.
    LayerWithoutBias,
    /// By the root mean square, with a scale.
    Rms,
    /// By the root mean square; the scale is stored less one.
    RmsFromOne,
}

/// How a score depends on the distance from query to key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import::hugging_face) struct RelativeBuckets {
    /// The rows of the table.
    pub(in crate::import::hugging_face) buckets: usize,
    /// The distance from which on all share a row.
    pub(in crate::import::hugging_face) most: usize,
    /// Whether each layer has a table of its own.
    pub(in crate::import::hugging_face) in_each_layer: bool,
    /// Whether all rows are for keys in front of the query, as others are not seen.
    pub(in crate::import::hugging_face) one_sided: bool,
}

/// How scores depend on vectors of the distance from key to query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import::hugging_face) struct Disentangled {
    /// Half of the number of vectors.
    pub(in crate::import::hugging_face) span: usize,
    /// The distance from which on all share a vector, if distances share them before.
    pub(in crate::import::hugging_face) buckets_to: Option<usize>,
    /// Whether queries are multiplied with the vectors' keys.
    pub(in crate::import::hugging_face) to_keys: bool,
    /// Whether keys are multiplied with the vectors' queries.
    pub(in crate::import::hugging_face) to_queries: bool,
    /// Whether the vectors' keys and queries are made by the products of the tokens' own.
    pub(in crate::import::hugging_face) shared: bool,
    /// Whether the vectors are normalized.
    pub(in crate::import::hugging_face) normed: bool,
}

/// A convolution along the tokens, beside the first layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::import::hugging_face) struct Convolution {
    /// The tokens that each result depends on, an odd number.
    pub(in crate::import::hugging_face) kernel: usize,
    pub(in crate::import::hugging_face) groups: usize,
    pub(in crate::import::hugging_face) activation: Activation,
}

/// Second halves of layers that are a mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import::hugging_face) struct MixedExperts {
    /// The number of experts in a layer.
    pub(in crate::import::hugging_face) count: usize,
    /// The number of them for each token.
    pub(in crate::import::hugging_face) chosen: usize,
    /// Of as many layers the second has experts.
    pub(in crate::import::hugging_face) every: usize,
}

/// What is added to weights for each of several tasks.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import::hugging_face) struct Adapters {
    pub(in crate::import::hugging_face) tasks: Vec<String>,
    /// What stands before texts for the tasks.
    pub(in crate::import::hugging_face) instructions: BTreeMap<String, String>,
    pub(in crate::import::hugging_face) rank: usize,
    /// The factor of what is added.
    pub(in crate::import::hugging_face) scale: f32,
    /// The task whose adapter is added.
    pub(in crate::import::hugging_face) chosen: Option<usize>,
}

impl Adapters {
    /// Chooses the adapter of a task, if it is one; returns a note for the report.
    pub(in crate::import::hugging_face) fn choose(&mut self, task: &str) -> String {
        self.chosen = self.tasks.iter().position(|own| own == task);
        match self.chosen {
            Some(_) => format!("weights with the adapter for the task {task:?}"),
            None => format!("weights without the adapters for the tasks {}", self.tasks.join(", ")),
        }
    }
}

/// What layers differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::import::hugging_face) struct LayerKind {
    /// The keys that a query sees.
    pub(in crate::import::hugging_face) reach: Reach,
    /// The angles by which queries and keys are turned, if they are.
    pub(in crate::import::hugging_face) rotary: Option<Rotary>,
}

/// The angles of rotary positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::import::hugging_face) struct Rotary {
    pub(in crate::import::hugging_face) base: f64,
    pub(in crate::import::hugging_face) scaling: RotaryScaling,
}

/// How the frequencies of rotary positions are stretched for more positions than a model was first trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::import::hugging_face) enum RotaryScaling {
    None,
    /// None up to the model's number of positions, and by the number of tokens past it.
    Dynamic,
    /// All are divided.
    Linear {
        factor: f64,
    },
    /// Low ones are divided, by `factors` of the first training's positions, and those between smoothly.
    ///
    /// Source: Llama 3.1.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        /// The positions of the first training.
        original: f64,
    },
    /// Low ones are divided, by their rotations in the first training's positions, and those between by a ramp.
    ///
    /// Source: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models" (2024).
    Yarn {
        factor: f64,
        /// The factor of cosines and sines.
        attention: f64,
        /// The numbers of rotations between which the ramp lies, the larger first.
        rotations: [f64; 2],
        /// The positions of the first training.
        original: f64,
        /// Whether the ramp's ends are whole numbers.
        truncated: bool,
    },
}
