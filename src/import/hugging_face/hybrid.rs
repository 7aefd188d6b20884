//! Several heads behind one encoder, in the files of BGE-M3 (FlagEmbedding): a vector of each text, weights of its tokens,
//! and vectors of its tokens.
//!
//! Source: Chen et al., "M3-Embedding: Multi-Linguality, Multi-Functionality, Multi-Granularity Text Embeddings Through
//! Self-Knowledge Distillation" (2024).

use std::path::Path;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        Encoder, Folder, FolderOptions, Pooling, Purpose, VECTOR,
        behind::{self, Behind},
        check_is_folder,
        encoder::Stage,
        sentence,
    },
    kernels::Activation,
};

/// The graph output that contains the weight of each token.
pub(crate) const TOKEN_WEIGHTS: &str = "token_weights";

/// The graph output that contains the vector of each token.
pub(crate) const TOKEN_VECTORS: &str = "token_vectors";

/// The files of the two heads of tokens.
const WEIGHTS_FILE: &str = "sparse_linear.pt";
const VECTORS_FILE: &str = "colbert_linear.pt";

/// Reads a folder with those of its heads whose outputs are `wanted`; also returns the length of a token's vector.
pub(crate) fn open_hybrid(folder: &Path, options: &FolderOptions, wanted: &[&str]) -> Result<(Folder, usize)> {
    read(folder, options, wanted).context(|| format!("model folder `{}`", folder.display()))
}

fn read(folder: &Path, options: &FolderOptions, wanted: &[&str]) -> Result<(Folder, usize)> {
    check_is_folder(folder)?;
    let sentence = sentence::read(folder, Purpose::Vectors)?;
    let transformer = sentence.transformer.clone();
    for (output, file) in [(TOKEN_WEIGHTS, WEIGHTS_FILE), (TOKEN_VECTORS, VECTORS_FILE)] {
        if wanted.contains(&output) && !transformer.join(file).exists() {
            let message =
                format!("there is no `{file}`, the head for `{output}`; an Embedder opens folders without it");
            return Err(Error::io(std::io::ErrorKind::NotFound.into(), message));
        }
    }
    let (mut encoder, ()) = Encoder::read(&transformer, &options.import, &[], |_, _, _| Ok(()))?;
    let hidden = encoder.config.hidden;
    let mut options = options.clone();
    if sentence.pooling().is_none() {
        // Without the files of sentence-transformers, as the authors' code does.
        options.pooling = options.pooling.or(Some(Pooling::Cls));
        options.normalize = options.normalize.or(Some(true));
    }
    let mut heads: Vec<(&str, Behind)> = Vec::new();
    if wanted.contains(&VECTOR) {
        heads.push((VECTOR, behind::embedding(&sentence, hidden, None, &options, &mut encoder.sources)?));
    }
    let mut of_tokens = |file: &str, outputs, activation| {
        let sizes = (hidden, outputs);
        behind::of_tokens(&transformer.join(file), sizes, activation, &options.import, &mut encoder.sources)
    };
    if wanted.contains(&TOKEN_WEIGHTS) {
        let mut weights = of_tokens(WEIGHTS_FILE, Some(1), Activation::Relu)?;
        weights.steps = "a weight of each token".to_owned();
        heads.push((TOKEN_WEIGHTS, weights));
    }
    let mut width = 0;
    if wanted.contains(&TOKEN_VECTORS) {
        let mut vectors = of_tokens(VECTORS_FILE, None, Activation::None)?;
        width = vectors.width;
        vectors.stages.push(Stage::Normalize);
        vectors.steps = format!("a vector of {width} of each token");
        heads.push((TOKEN_VECTORS, vectors));
    }
    Ok((encoder.into_folder(folder, sentence, heads, &options)?, width))
}
