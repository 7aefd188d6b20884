//! The modules that sentence-transformers runs behind an encoder, as modules.json lists them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        Pooling,
        config::Reader,
        files::{plain_name, settings},
        sentence::{
            has_own_pooling,
            pooling::{self, PoolingSettings},
        },
    },
    kernels::Activation,
};

/// The largest width of a module.
const MAX_WIDTH: usize = 1 << 20;

/// The class of Jina's encoders with adapters for tasks, which is code in their folders.
const ADAPTED: &str = "custom_st.Transformer";

/// One entry of modules.json.
#[derive(Deserialize)]
pub(super) struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Entry {
    /// Whether it is of that class.
    pub(super) fn is(&self, class: &str) -> bool {
        self.kind == class
    }

    /// The class of a module of sentence-transformers.
    pub(super) fn kind(&self) -> Result<&str> {
        if !self.kind.starts_with("sentence_transformers.") {
            return Err(Error::unsupported(format!("the module `{}`, which is code of its own", self.kind)));
        }
        Ok(self.kind.rsplit('.').next().unwrap_or_default())
    }
}

/// A module behind the encoder.
#[derive(Debug)]
pub(in crate::import::hugging_face) enum Module {
    /// The token vectors of a text become one vector, in several ways side by side.
    Pooling(Vec<Pooling>),
    /// A product with an activation.
    Dense(Dense),
    /// A norm by mean and variance.
    LayerNorm { folder: PathBuf, width: usize },
    /// Division by the length.
    Normalize,
}

/// The settings of a product.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import::hugging_face) struct Dense {
    pub(in crate::import::hugging_face) folder: PathBuf,
    pub(in crate::import::hugging_face) inputs: usize,
    pub(in crate::import::hugging_face) outputs: usize,
    pub(in crate::import::hugging_face) bias: bool,
    pub(in crate::import::hugging_face) activation: Activation,
    /// Whether the input is added to the result.
    pub(in crate::import::hugging_face) residual: bool,
}

/// The modules of a folder, and what its pooling says beside its modes.
pub(super) struct Modules {
    /// The folder of the encoder's files.
    pub(super) transformer: PathBuf,
    pub(super) modules: Vec<Module>,
    pub(super) pooling: Option<PoolingSettings>,
    /// Whether the first module consists of word vectors, which need no pooling.
    pub(super) is_static: bool,
    /// Whether the first module is CLIP, which has its own pooling.
    pub(super) is_clip: bool,
}

/// Reads the entries of modules.json and the settings of each.
pub(super) fn read(folder: &Path, entries: &[Entry]) -> Result<Modules> {
    let mut modules = Modules {
        transformer: folder.to_owned(),
        modules: Vec::new(),
        pooling: None,
        is_static: false,
        is_clip: false,
    };
    for (position, entry) in entries.iter().enumerate() {
        let kind = entry.kind.rsplit('.').next().unwrap_or_default();
        let place = path(folder, entry)?;
        let is_own = entry.kind == ADAPTED && position == 0 && has_adapters(&place)?;
        if !is_own && !entry.kind.starts_with("sentence_transformers.") {
            return Err(Error::unsupported(format!("module {position} is `{}`, which is code of its own", entry.kind)));
        }
        let within = || entry.path.clone();
        // Word vectors and CLIP need no pooling.
        match (position + usize::from(modules.is_static || modules.is_clip), kind) {
            (0, "Transformer") => {
                modules.is_clip = has_own_pooling(&place).context(within)?;
                modules.transformer = place;
            }
            (0, "CLIPModel") => (modules.transformer, modules.is_clip) = (place, true),
            (0, "StaticEmbedding") => {
                (modules.transformer, modules.is_static) = (place, true);
                modules.modules.push(Module::Pooling(vec![Pooling::Mean]));
            }
            (1, "Pooling") => {
                let read = pooling::read(&place).context(within)?;
                modules.modules.push(Module::Pooling(read.modes.clone()));
                modules.pooling = Some(read);
            }
            (2.., "Normalize") => {
                works_on(&reader(&place, false).context(within)?, "sentence_embedding").context(within)?;
                modules.modules.push(Module::Normalize);
            }
            (2.., "Dense") => {
                let module = dense(place, "sentence_embedding").context(within)?;
                modules.modules.push(Module::Dense(module));
            }
            (2.., "LayerNorm") => modules.modules.push(layer_norm(place).context(within)?),
            // Works in training alone.
            (2.., "Dropout") => {}
            _ => {
                return Err(Error::unsupported(format!(
                    "module {position} is `{kind}`; supported are Transformer, Pooling or StaticEmbedding, and behind them Dense, LayerNorm \
                     and Normalize"
                )));
            }
        }
    }
    Ok(modules)
}

/// Whether a folder holds an encoder with adapters for tasks, which sentence-transformers runs by code of its authors.
fn has_adapters(folder: &Path) -> Result<bool> {
    let fields = settings(folder, "config.json")?.unwrap_or_default();
    Ok(fields.get("lora_adaptations").is_some_and(Value::is_array))
}

/// The folder of a module.
pub(super) fn path(folder: &Path, entry: &Entry) -> Result<PathBuf> {
    let path = entry.path.as_str();
    // `./1_Pooling/` is `1_Pooling`; one from the root is refused by its first part, which has no name.
    let parts = path.strip_suffix('/').unwrap_or(path).split('/').filter(|part| *part != ".");
    let parts = parts.map(|part| plain_name(part, "path"));
    match path {
        "" => Ok(folder.to_owned()),
        path => Ok(folder.join(parts.collect::<Result<PathBuf>>().context(|| format!("{path:?}"))?)),
    }
}

/// The settings of a module.
pub(super) fn reader(folder: &Path, required: bool) -> Result<Reader> {
    match settings(folder, "config.json")? {
        None if required => Err(Error::invalid_model("`config.json` is missing")),
        fields => Ok(Reader::new(fields.unwrap_or_default())),
    }
}

/// Refuses a module that works on something else.
fn works_on(reader: &Reader, what: &str) -> Result<()> {
    for name in ["module_input_name", "module_output_name"] {
        reader.refuse_unless(name, &[Value::from(what)])?;
    }
    Ok(())
}

/// The settings of a product of `what`.
pub(super) fn dense(folder: PathBuf, what: &str) -> Result<Dense> {
    let reader = reader(&folder, true)?;
    works_on(&reader, what)?;
    let width = |name: &str| reader.size(name, 1..=MAX_WIDTH, None);
    let (inputs, outputs) = (width("in_features"), width("out_features"));
    let (bias, residual) = (reader.flag("bias", true), reader.flag("use_residual", false));
    let activation = activation(&reader.text("activation_function", Some("torch.nn.modules.activation.Tanh")))?;
    reader.finish("`config.json`")?;
    Ok(Dense { folder, inputs, outputs, bias, activation, residual })
}

fn layer_norm(folder: PathBuf) -> Result<Module> {
    let reader = reader(&folder, true)?;
    let width = reader.size("dimension", 1..=MAX_WIDTH, None);
    reader.finish("`config.json`")?;
    Ok(Module::LayerNorm { folder, width })
}

/// The activation of a class of torch, with the settings that it has by default.
pub(in crate::import::hugging_face) fn activation(path: &str) -> Result<Activation> {
    let class = path.strip_prefix("torch.nn.").and_then(|path| path.rsplit('.').next());
    Ok(match class {
        Some("Identity") => Activation::None,
        Some("Tanh") => Activation::Tanh,
        Some("ReLU") => Activation::Relu,
        Some("GELU") => Activation::Gelu,
        Some("SiLU") => Activation::Silu,
        Some("Sigmoid") => Activation::Sigmoid,
        Some("LeakyReLU") => Activation::LeakyRelu { slope: 0.01 },
        Some("ReLU6") => Activation::Clip { low: 0.0, high: 6.0 },
        Some("Hardswish") => Activation::HardSwish,
        Some("Hardsigmoid") => Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
        _ => return Err(Error::unsupported(format!("the activation `{path}`"))),
    })
}
