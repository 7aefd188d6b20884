//! Limits on model files, and where their weights stay.

use std::path::PathBuf;

use crate::tensor::Tensor;

/// Limits on what a model file may require, and options for reading it.
///
/// The defaults admit any model that fits its format. Lower them for files from unknown sources.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The maximum size of an ONNX file in bytes; the format itself allows 2 GiB.
    pub max_file_bytes: u64,
    /// The maximum number of messages and names in an ONNX file.
    pub max_items: usize,
    /// The maximum number of bytes in an ONNX file besides its weights.
    pub max_structure_bytes: usize,
    /// The maximum size of a safetensors header, or of a checkpoint's pickle, in bytes.
    pub max_header_bytes: u64,
    /// A folder whose files external data may reach through symbolic and hard links.
    ///
    /// Caches of model hubs need it. With `None`, external data must be in the model's own folder,
    /// in files without links.
    pub trusted_root: Option<PathBuf>,
    /// Inputs of an ONNX model that become constants, by name.
    ///
    /// Operators that need an operand when the model is loaded (a shape, an axis) can then read it.
    pub constants: Vec<(String, Tensor)>,
    /// Shapes of inputs of an ONNX model, by name; `None` is a size that runs choose.
    ///
    /// They replace what the file declares: for an input without a declared shape, and where an
    /// operator needs a size when the model is read.
    pub shapes: Vec<(String, Vec<Option<usize>>)>,
    /// The number of dimensions of inputs for which an ONNX model declares none, by name; runs choose their sizes.
    ///
    /// Of other inputs, and of names that the model does not have, nothing is read here.
    pub ranks: Vec<(String, usize)>,
    /// Whether each size of an input that runs choose is one of its own, whatever name the file gives it.
    ///
    /// Sizes of one name are taken to be equal, and a run in which they are not fails. To other engines the names are
    /// hints, and some exporters give one name to sizes that differ. Without the names fewer items run together.
    pub names_apart: bool,
    /// Inputs of an ONNX model whose defaults are not used, by name.
    ///
    /// From format version 4 on, an initializer that is an input too is the input's default. It is
    /// built in as a constant, unless the input is named here: then each item must give it.
    pub without_default: Vec<String>,
    /// Where the weights of a Hugging Face folder stay.
    pub weights: Weights,
}

/// Where the weights of a loaded model stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weights {
    /// In the memory of the process, in the order in which kernels read them, which is fastest.
    #[default]
    Own,
    /// In their file, which is mapped into memory and read in place.
    ///
    /// All processes that map a file share one copy in the page cache, and the file may be larger
    /// than memory. Matrix products pack the weights anew in each run, so chunks should be large;
    /// the results have the same bits. Weights that are not f32 are copied nevertheless, and a note
    /// in the report says so.
    ///
    /// The files must not change while the model is open: truncating one ends the process with
    /// `SIGBUS`, which no library can catch. To replace a model, put a new file under the old name
    /// ([`publish`](crate::bulk::publish)), and never write into the old file.
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
            shapes: Vec::new(),
            ranks: Vec::new(),
            names_apart: false,
            without_default: Vec::new(),
            weights: Weights::Own,
        }
    }
}

impl ImportOptions {
    /// Sets [`trusted_root`](Self::trusted_root), a folder into which links may lead.
    #[must_use]
    pub fn trust_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.trusted_root = Some(root.into());
        self
    }

    /// Replaces the input `name` of an ONNX model by a constant.
    #[must_use]
    pub fn constant(mut self, name: impl Into<String>, value: Tensor) -> Self {
        self.constants.push((name.into(), value));
        self
    }

    /// Sets the shape of the input `name` of an ONNX model; `None` is a size that runs choose.
    #[must_use]
    pub fn input_shape(mut self, name: impl Into<String>, dims: impl Into<Vec<Option<usize>>>) -> Self {
        self.shapes.push((name.into(), dims.into()));
        self
    }

    /// Makes the input `name` of an ONNX model one that each item gives, although the file has a
    /// default for it.
    ///
    /// [`Model::defaults`](crate::Model::defaults) lists the inputs that have one.
    #[must_use]
    pub fn no_default(mut self, name: impl Into<String>) -> Self {
        self.without_default.push(name.into());
        self
    }

    /// Sets where the weights of a Hugging Face folder stay.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// Sets the maximum size of an ONNX file in bytes.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Sets the maximum number of messages and names in an ONNX file.
    #[must_use]
    pub fn max_items(mut self, items: usize) -> Self {
        self.max_items = items;
        self
    }

    /// Sets the maximum size of a safetensors header, or of a checkpoint's pickle, in bytes.
    #[must_use]
    pub fn max_header_bytes(mut self, bytes: u64) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// Sets the maximum number of bytes in an ONNX file besides its weights.
    #[must_use]
    pub fn max_structure_bytes(mut self, bytes: usize) -> Self {
        self.max_structure_bytes = bytes;
        self
    }
}
