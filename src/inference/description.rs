//! What a report says about a model.

use crate::inference::Fingerprint;

/// Describes a model in reports and to caches, as
/// [`Inference::describe`](crate::Inference::describe) returns it.
///
/// ```
/// use gristmill::Description;
/// let mut description = Description::default();
/// description.device = "cpu".into();
/// description.model_fingerprint = "weights of June".to_owned().into();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// The device that computes ("cpu"), empty if unknown.
    pub device: String,
    /// The CPU kernel set ("avx512").
    pub kernel_set: String,
    /// The precision of the arithmetic ("f32").
    pub precision: String,
    /// Bytes of scratch per worker besides the shared weights, as far as known.
    pub scratch_bytes_per_worker: u64,
    /// Seconds that loading took.
    pub load_seconds: f64,
    /// Identifies the weights.
    pub model_fingerprint: Fingerprint,
    /// The options on which outputs depend, besides weights, device and precision.
    pub options: String,
    /// The number of inputs truncated to the model's maximum length so far.
    pub truncated: u64,
    /// Cost units computed for padding alone so far.
    pub padding: u64,
    /// Remarks in plain words.
    pub notes: Vec<String>,
}
