//! Limits on what a model file may ask for, and where its weights stay.

use std::path::PathBuf;

use crate::tensor::Tensor;

/// What a file may ask for. The defaults hold for any model that fits its format; lower them where files come from
/// strangers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The largest ONNX file that is read, in bytes. The format itself ends at 2 GiB.
    pub max_file_bytes: u64,
    /// The most messages and names that an ONNX file may hold.
    pub max_items: usize,
    /// The most bytes of an ONNX file besides its weights.
    pub max_structure_bytes: usize,
    /// The largest header of a safetensors file, in bytes.
    pub max_header_bytes: u64,
    /// A folder whose files may be reached through symbolic links and may have several names (hard links), as in the
    /// caches of model hubs. `None`: a model's data lie in its own folder, in files of one name.
    pub trusted_root: Option<PathBuf>,
    /// Inputs of an ONNX model that have the same value in every run, by name: they are constants then, and operators
    /// that need an operand when the model is loaded (a shape, an axis) can read them.
    pub constants: Vec<(String, Tensor)>,
    /// Where the weights of a Hugging Face folder stay.
    pub weights: Weights,
}

/// Where weights stay once a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weights {
    /// In the process's own memory, in the order in which kernels read them: the fastest.
    #[default]
    Own,
    /// In their safetensors file, which is mapped and read in place: all processes that do so share one copy, in the
    /// system's page cache, and it may be larger than memory. Products order a matrix anew in each run, so chunks should
    /// be large; the results are the same bits. Weights that are not f32 are copied all the same, and a note says so.
    ///
    /// The files must not change while a model of them is open: one that is cut short then ends the process with `SIGBUS`,
    /// which no library can catch. Replace a model by a new file under the old name
    /// ([`publish`](crate::bulk::hot::publish)), never by writing into the old one.
    Mapped,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            max_file_bytes: 2 << 30,
            max_items: 1 << 20,
            max_structure_bytes: 64 << 20,
            max_header_bytes: 16 << 20,
            trusted_root: None,
            constants: Vec::new(),
            weights: Weights::Own,
        }
    }
}

impl ImportOptions {
    /// Trusts links that lead into the folder `root`, and files there that have several names.
    #[must_use]
    pub fn trust_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.trusted_root = Some(root.into());
        self
    }

    /// Gives an input of an ONNX model a value for good; it is no input of the model any more.
    #[must_use]
    pub fn constant(mut self, name: impl Into<String>, value: Tensor) -> Self {
        self.constants.push((name.into(), value));
        self
    }

    /// Says where the weights of a Hugging Face folder stay.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// Caps the size of an ONNX file.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Caps the messages and names of an ONNX file.
    #[must_use]
    pub fn max_items(mut self, items: usize) -> Self {
        self.max_items = items;
        self
    }

    /// Caps the header of a safetensors file.
    #[must_use]
    pub fn max_header_bytes(mut self, bytes: u64) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// Caps the bytes of an ONNX file besides its weights.
    #[must_use]
    pub fn max_structure_bytes(mut self, bytes: usize) -> Self {
        self.max_structure_bytes = bytes;
        self
    }
}
