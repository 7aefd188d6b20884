//! A masked-word head: the product, norm and product that give each token a number for every word.

use std::path::Path;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        config::{Config, Family, NormKind, Reader, activation},
        encoder::{self, Affine, Norm, Product, Residual, Stage},
        files::settings,
        problems::Problems,
        weights::Weights,
    },
    kernels::Activation,
};

/// The settings of a head.
pub(super) struct WordHead {
    activation: Activation,
    /// Whether its two products have biases.
    biases: [bool; 2],
    /// Whether the words' vectors are the second product's weights where it has none.
    tied: bool,
}

/// The names of a head's tensors: the first product, its norm, the names of the second one's bias, and its weight.
struct Names {
    inner: &'static str,
    norm: &'static str,
    words: &'static str,
    bias: &'static [&'static str],
}

const BERT: Names = Names {
    inner: "cls.predictions.transform.dense",
    norm: "cls.predictions.transform.LayerNorm",
    words: "cls.predictions.decoder.weight",
    bias: &["cls.predictions.decoder.bias", "cls.predictions.bias"],
};

const ROBERTA: Names = Names {
    inner: "lm_head.dense",
    norm: "lm_head.layer_norm",
    words: "lm_head.decoder.weight",
    bias: &["lm_head.decoder.bias", "lm_head.bias"],
};

const DISTILBERT: Names = Names {
    inner: "vocab_transform",
    norm: "vocab_layer_norm",
    words: "vocab_projector.weight",
    bias: &["vocab_projector.bias"],
};

const ALBERT: Names = Names {
    inner: "predictions.dense",
    norm: "predictions.LayerNorm",
    words: "predictions.decoder.weight",
    bias: &["predictions.decoder.bias", "predictions.bias"],
};

const ELECTRA: Names = Names {
    inner: "generator_predictions.dense",
    norm: "generator_predictions.LayerNorm",
    words: "generator_lm_head.weight",
    bias: &["generator_lm_head.bias"],
};

const MODERN_BERT: Names =
    Names { inner: "head.dense", norm: "head.norm", words: "decoder.weight", bias: &["decoder.bias"] };

impl WordHead {
    /// Reads the head's settings.
    pub(super) fn read(folder: &Path, family: Family) -> Result<Self> {
        // The encoder's settings were read from it.
        let fields = settings(folder, "config.json")?.unwrap_or_default();
        Self::parse(&Reader::new(fields), family).context(|| "`config.json`".into())
    }

    fn parse(reader: &Reader, family: Family) -> Result<Self> {
        if let Some(names) = reader.words("architectures").filter(|names| !names.is_empty())
            && !names.iter().any(|name| name.ends_with("ForMaskedLM"))
        {
            let names = names.join(", ");
            return Err(Error::unsupported(format!("the model is {names}; a sparse embedder is a ...ForMaskedLM")));
        }
        let modern = family == Family::ModernBert;
        let head = Self {
            activation: match family {
                Family::ModernBert => activation(reader, "classifier_activation", "gelu")?,
                Family::DistilBert => activation(reader, "activation", "gelu")?,
                Family::Bert | Family::Ernie => activation(reader, "hidden_act", "gelu")?,
                Family::Albert => activation(reader, "hidden_act", "gelu_new")?,
                _ => Activation::Gelu,
            },
            biases: match modern {
                true => [reader.flag("classifier_bias", false), reader.flag("decoder_bias", true)],
                false => [true; 2],
            },
            tied: reader.flag("tie_word_embeddings", true),
        };
        reader.checked("the settings are not a masked-word head's")?;
        Ok(head)
    }

    /// The steps behind an encoder, up to the largest number of each word in a text; its weights are the first source.
    pub(super) fn stages(&self, config: &Config, weights: &Weights, problems: &mut Problems) -> Result<Vec<Stage>> {
        // The words' vectors are as wide as the embeddings.
        let (hidden, width) = (config.hidden, config.embedding.unwrap_or(config.hidden));
        let names = match config.family {
            Family::Albert => ALBERT,
            Family::Electra => ELECTRA,
            Family::Bert | Family::Ernie => BERT,
            Family::DistilBert => DISTILBERT,
            Family::ModernBert => MODERN_BERT,
            Family::Roberta | Family::Mpnet => ROBERTA,
            _ => return Err(Error::unsupported("a masked-word head behind this model_type")),
        };
        let [inner_bias, bias] = self.biases;
        let inner = [format!("{}.weight", names.inner)];
        let inner = Affine::find(weights, &inner, (hidden, width), inner_bias, problems);
        let inner = Product { source: 0, affine: inner, activation: self.activation, residual: Residual::Nothing };
        let mut find = |part: &str, older: &str| {
            weights.find(&[part, older].map(|part| format!("{}.{part}", names.norm)), &[width], problems)
        };
        let scale = find("weight", "gamma");
        let norm_bias = config.norm == NormKind::Layer;
        let norm = Norm { scale, bias: norm_bias.then(|| find("bias", "beta")) };
        let mut words = vec![names.words.to_owned()];
        words.extend(self.tied.then(|| encoder::words_name(config, weights)));
        let affine = Affine::of(
            weights.find(&words, &[config.vocabulary, width], problems),
            bias.then(|| {
                let names: Vec<String> = names.bias.iter().map(|name| (*name).to_owned()).collect();
                weights.find(&names, &[config.vocabulary], problems)
            }),
        );
        Ok(vec![
            Stage::Product(inner),
            Stage::Norm { source: 0, norm, epsilon: config.epsilon },
            Stage::MaxOfProduct { source: 0, affine },
        ])
    }
}
