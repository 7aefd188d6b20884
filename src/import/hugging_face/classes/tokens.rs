//! The steps behind an encoder that classify each token.

use crate::{
    error::{Error, Result},
    import::hugging_face::{
        classes::Head,
        config::{Config, Family},
        encoder::{self, Affine, Product, Residual, Stage},
        problems::Problems,
        weights::Weights,
    },
    kernels::Activation,
};

impl Head {
    /// The steps of transformers' `...ForTokenClassification`.
    pub(super) fn stages_of_tokens(
        &self,
        config: &Config,
        weights: &Weights,
        problems: &mut Problems,
    ) -> Result<Vec<Stage>> {
        let (hidden, prefix) = (config.hidden, encoder::prefix(config, weights));
        let mut classes = |name: &str, bias: bool| {
            let names = ["", prefix].map(|prefix| format!("{prefix}{name}.weight"));
            let affine = Affine::find(weights, &names, (hidden, self.count), bias, problems);
            Stage::Product(Product { source: 0, affine, activation: Activation::None, residual: Residual::Nothing })
        };
        Ok(match config.family {
            Family::ModernBert => {
                let classes = classes("classifier", true);
                let [inner, norm] = self.prediction_head(config, weights, problems);
                vec![inner, norm, classes]
            }
            Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => vec![classes("score", self.token_bias)],
            Family::Bart | Family::T5 | Family::Gemma3 => {
                return Err(Error::unsupported("a head for the classes of tokens behind this model_type"));
            }
            _ => vec![classes("classifier", true)],
        })
    }
}
