//! The modules of a model whose vectors weigh the words of its vocabulary.

use std::path::{Path, PathBuf};

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::sentence::modules::{Entry, path, reader},
};

/// How the numbers of a vocabulary's words become weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Splade {
    /// Whether the logarithm is taken twice.
    pub(crate) twice: bool,
}

/// Reads the entries of modules.json: the folder of the encoder, and the pooling.
pub(super) fn read(folder: &Path, entries: &[Entry]) -> Result<(PathBuf, Splade)> {
    let known = "a sparse model is a Transformer and a SpladePooling";
    let [transformer, pooling] = entries else {
        return Err(Error::unsupported(format!("{} modules; {known}", entries.len())));
    };
    for (entry, kinds) in [(transformer, &["Transformer", "MLMTransformer"][..]), (pooling, &["SpladePooling"])] {
        let kind = entry.kind()?;
        if !kinds.contains(&kind) {
            return Err(Error::unsupported(format!("the module `{kind}`; {known}")));
        }
    }
    let place = path(folder, pooling)?;
    let settings = reader(&place, false).and_then(|reader| {
        let strategy = reader.text("pooling_strategy", Some("max"));
        if strategy != "max" {
            return Err(Error::unsupported(format!("pooling_strategy `{strategy}`; supported is max")));
        }
        let twice = match reader.text("activation_function", Some("relu")).as_str() {
            "relu" => false,
            "log1p_relu" => true,
            other => return Err(Error::unsupported(format!("activation_function `{other}`"))),
        };
        reader.finish("`config.json`")?;
        Ok(Splade { twice })
    });
    let within = || format!("`{}`", place.file_name().unwrap_or_default().to_string_lossy());
    Ok((path(folder, transformer)?, settings.context(within)?))
}
