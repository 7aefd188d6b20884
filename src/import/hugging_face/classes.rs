//! A classifier's head, of texts or of tokens: its settings in config.json, and its steps behind the encoder.

mod tokens;

use std::path::Path;

use serde_json::{Map, Value};

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        Pooling, Purpose,
        config::{Config, Family, NormKind, Reader, activation},
        encoder::{self, Affine, Norm, Product, Residual, Stage},
        files::settings,
        problems::Problems,
        scores::{Scores, of_activation},
        weights::Weights,
    },
    kernels::Activation,
};

/// The most classes.
const MAX_CLASSES: usize = 1 << 20;

/// The settings of a head.
#[derive(Debug)]
pub(super) struct Head {
    /// The names of the classes, if the file has them.
    labels: Option<Vec<String>>,
    /// The number of classes.
    pub(super) count: usize,
    /// How transformers turns the head's numbers into scores.
    pub(super) scores: Scores,
    /// How sentence-transformers does, where config.json says.
    pub(super) pair_scores: Option<Scores>,
    /// A token that is not looked at behind the last other one.
    pub(super) pad: Option<u32>,
    pooling: String,
    activation: Activation,
    bias: bool,
    /// Whether the model was trained on pairs of texts.
    pub(super) on_pairs: bool,
    /// Whether each token has classes.
    of_tokens: bool,
    /// Whether the product of a causal model's token classes has a bias.
    token_bias: bool,
}

impl Head {
    /// Reads the head's settings.
    pub(super) fn read(folder: &Path, family: Family, purpose: Purpose) -> Result<Self> {
        // The encoder's settings were read from it.
        let fields = settings(folder, "config.json")?.unwrap_or_default();
        Self::parse(&Reader::new(fields), family, purpose).context(|| "`config.json`".into())
    }

    fn parse(reader: &Reader, family: Family, purpose: Purpose) -> Result<Self> {
        let of_tokens = purpose == Purpose::Tokens;
        let (what, kind) = match purpose {
            Purpose::Tokens => ("a tagger", "ForTokenClassification"),
            #[cfg(feature = "vision")]
            Purpose::ImageClasses => ("a classifier of images", "ForImageClassification"),
            _ => ("a classifier", "ForSequenceClassification"),
        };
        if let Some(names) = reader.words("architectures").filter(|names| !names.is_empty())
            && !names.iter().any(|name| name.ends_with(kind))
        {
            let names = names.join(", ");
            return Err(Error::unsupported(format!("the model is {names}; {what} is a ...{kind}")));
        }
        if family == Family::Gemma3 && reader.flag("use_bidirectional_attention", false) {
            return Err(Error::unsupported("a classification head behind use_bidirectional_attention"));
        }
        let causal = Config::is_decoder(family);
        let pad = reader.optional_size("pad_token_id", 1 << 24).and_then(|pad| u32::try_from(pad).ok());
        let labels = reader.object("id2label").map(|names| labels(&names)).transpose()?;
        let count = reader.optional_size("num_labels", MAX_CLASSES);
        let silent = if reader.text("model_type", None) == "bart" { 3 } else { 2 };
        let count = labels.as_ref().map(Vec::len).or(count).unwrap_or(silent);
        let scores = match (reader.text("problem_type", None).as_str(), count) {
            ("regression", _) => Scores::Raw,
            ("multi_label_classification", _) | ("single_label_classification" | "", 0 | 1) => Scores::Sigmoid,
            ("single_label_classification" | "", _) => Scores::Softmax,
            (other, _) => return Err(Error::unsupported(format!("problem_type `{other}`"))),
        };
        let newer = reader.object("sentence_transformers").unwrap_or_default();
        let older = reader.text("sbert_ce_default_activation_function", None);
        let pair_scores = match newer.get("activation_fn").and_then(Value::as_str).unwrap_or(&older) {
            "" => None,
            path => Some(of_activation(path)?),
        };
        let follows = |name: &String| name.eq_ignore_ascii_case("entailment");
        let on_pairs = !newer.is_empty() || !older.is_empty() || labels.iter().flatten().any(follows);
        let euro = family == Family::EuroBert;
        let deberta = matches!(family, Family::Deberta | Family::DebertaV2);
        let head = Self {
            labels,
            count,
            scores,
            pair_scores,
            pad: pad.filter(|_| causal),
            pooling: reader.text("classifier_pooling", Some(if euro { "late" } else { "cls" })),
            activation: activation(
                reader,
                if deberta { "pooler_hidden_act" } else { "classifier_activation" },
                "gelu",
            )?,
            bias: reader.flag("classifier_bias", false),
            on_pairs,
            of_tokens,
            token_bias: reader.flag("token_classification_bias", true),
        };
        reader.checked("the settings are not a classifier's")?;
        Ok(head)
    }

    /// ModernBERT's product and norm in front of the classes.
    fn prediction_head(&self, config: &Config, weights: &Weights, problems: &mut Problems) -> [Stage; 2] {
        let (names, sizes) = (["head.dense.weight".to_owned()], (config.hidden, config.hidden));
        let affine = Affine::find(weights, &names, sizes, self.bias, problems);
        let inner = Product { source: 0, affine, activation: self.activation, residual: Residual::Nothing };
        let mut find = |part: &str| weights.find(&[format!("head.norm.{part}")], &[config.hidden], problems);
        let scale = find("weight");
        let bias = (config.norm == NormKind::Layer).then(|| find("bias"));
        let norm = Stage::Norm { source: 0, norm: Norm { scale, bias }, epsilon: config.epsilon };
        [Stage::Product(inner), norm]
    }

    /// The names of the classes.
    pub(super) fn labels(self) -> Vec<String> {
        self.labels.unwrap_or_else(|| (0..self.count).map(|class| format!("LABEL_{class}")).collect())
    }

    /// The steps behind an encoder; its weights are the first source.
    pub(super) fn stages(&self, config: &Config, weights: &Weights, problems: &mut Problems) -> Result<Vec<Stage>> {
        if self.of_tokens {
            return self.stages_of_tokens(config, weights, problems);
        }
        let (hidden, prefix) = (config.hidden, encoder::prefix(config, weights));
        let mut product = |name: &str, outputs: usize, bias: bool, activation: Activation| {
            let names = ["", prefix].map(|prefix| format!("{prefix}{name}.weight"));
            let affine = Affine::find(weights, &names, (hidden, outputs), bias, problems);
            Stage::Product(Product { source: 0, affine, activation, residual: Residual::Nothing })
        };
        let mut dense = |name: &str, activation: Activation| product(name, hidden, true, activation);
        let first = Stage::Pool(vec![Pooling::Cls]);
        Ok(match config.family {
            Family::Bert | Family::Ernie | Family::NomicBert | Family::Gte | Family::JinaBert => {
                let pooler = dense("pooler.dense", Activation::Tanh);
                vec![first, pooler, product("classifier", self.count, true, Activation::None)]
            }
            Family::Deberta | Family::DebertaV2 => {
                let pooler = dense("pooler.dense", self.activation);
                vec![first, pooler, product("classifier", self.count, true, Activation::None)]
            }
            Family::Albert => {
                let pooler = dense("pooler", Activation::Tanh);
                vec![first, pooler, product("classifier", self.count, true, Activation::None)]
            }
            Family::DistilBert => {
                let pooler = dense("pre_classifier", Activation::Relu);
                vec![first, pooler, product("classifier", self.count, true, Activation::None)]
            }
            Family::Roberta
            | Family::JinaV3
            | Family::Mpnet
            | Family::XlmRobertaXl
            | Family::Esm
            | Family::EsmNormed
            | Family::Electra => {
                let electra = config.family == Family::Electra;
                let inner = dense("classifier.dense", if electra { Activation::Gelu } else { Activation::Tanh });
                vec![first, inner, product("classifier.out_proj", self.count, true, Activation::None)]
            }
            Family::Bart | Family::T5 => {
                let inner = dense("classification_head.dense", Activation::Tanh);
                let classes = product("classification_head.out_proj", self.count, true, Activation::None);
                vec![Stage::PoolAtEnd, inner, classes]
            }
            Family::ModernBert => {
                let pool = Stage::Pool(vec![match self.pooling.as_str() {
                    "cls" => Pooling::Cls,
                    "mean" => Pooling::Mean,
                    other => return Err(Error::unsupported(format!("classifier_pooling `{other}`"))),
                }]);
                let classes = product("classifier", self.count, true, Activation::None);
                let [inner, norm] = self.prediction_head(config, weights, problems);
                vec![pool, inner, norm, classes]
            }
            Family::EuroBert => {
                let inner = dense("dense", Activation::Gelu);
                let classes = product("classifier", self.count, true, Activation::None);
                match self.pooling.as_str() {
                    "bos" => vec![first, inner, classes],
                    "mean" => vec![Stage::Pool(vec![Pooling::Mean]), inner, classes],
                    "late" => vec![inner, classes, Stage::Pool(vec![Pooling::Mean])],
                    other => return Err(Error::unsupported(format!("classifier_pooling `{other}`"))),
                }
            }
            family if Config::is_decoder(family) => {
                vec![Stage::Pool(vec![Pooling::Last]), product("score", self.count, false, Activation::None)]
            }
            #[cfg(feature = "vision")]
            Family::Vit => vec![first, product("classifier", self.count, true, Activation::None)],
            #[cfg(feature = "vision")]
            Family::SiglipVision => {
                let classes = product("classifier", self.count, true, Activation::None);
                vec![Stage::Pool(vec![Pooling::Mean]), classes]
            }
            family => return Err(Error::unsupported(format!("the classification head of {family:?}"))),
        })
    }
}

/// The names of the classes 0, 1, 2, ...
fn labels(names: &Map<String, Value>) -> Result<Vec<String>> {
    let mut labels = vec![None; names.len()];
    for (class, name) in names {
        let wrong = || Error::invalid_model(format!("id2label names the class {class:?} {name}"));
        let place = class.parse::<usize>().ok().and_then(|class| labels.get_mut(class)).ok_or_else(wrong)?;
        *place = match name {
            Value::String(name) => Some(name.clone()),
            // Labels that were numbers when the model was trained.
            Value::Number(number) => Some(number.to_string()),
            _ => return Err(wrong()),
        };
    }
    let labels: Option<Vec<String>> = labels.into_iter().collect();
    labels.filter(|labels| !labels.is_empty()).ok_or_else(|| Error::invalid_model("id2label does not name every class"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(fields: Value) -> Result<Head> {
        Head::parse(&Reader::new(serde_json::from_value(fields).unwrap()), Family::Bert, Purpose::Classes)
    }

    #[test]
    fn scores_follow_the_problem_as_in_transformers() {
        for (fields, count, scores) in [
            (json!({}), 2, Scores::Softmax),
            (json!({"num_labels": 1}), 1, Scores::Sigmoid),
            (json!({"num_labels": 3, "problem_type": null}), 3, Scores::Softmax),
            (json!({"id2label": {"1": "b", "0": "a"}, "num_labels": 2}), 2, Scores::Softmax),
            (json!({"problem_type": "regression"}), 2, Scores::Raw),
            (json!({"problem_type": "multi_label_classification"}), 2, Scores::Sigmoid),
            (json!({"architectures": ["XForSequenceClassification"]}), 2, Scores::Softmax),
        ] {
            let head = parse(fields.clone()).unwrap();
            assert_eq!((head.count, head.scores, head.pair_scores), (count, scores, None), "{fields}");
        }
        assert_eq!(parse(json!({"id2label": {"1": "b", "0": "a"}})).unwrap().labels(), ["a", "b"]);
        assert_eq!(parse(json!({"id2label": {"0": 1, "1": "two", "2": 3.5}})).unwrap().labels(), ["1", "two", "3.5"]);
        assert!(parse(json!({"id2label": {"0": null, "1": "b"}})).is_err());
        assert_eq!(parse(json!({"num_labels": 2})).unwrap().labels(), ["LABEL_0", "LABEL_1"]);
    }

    #[test]
    fn bart_has_three_classes_where_settings_are_silent() {
        let count = |fields: Value| {
            let reader = Reader::new(serde_json::from_value(fields).unwrap());
            Head::parse(&reader, Family::Bart, Purpose::Classes).unwrap().count
        };
        assert_eq!(count(json!({"model_type": "bart"})), 3);
        assert_eq!(count(json!({"model_type": "bart", "num_labels": 2})), 2);
        assert_eq!(count(json!({"model_type": "mbart"})), 2);
    }

    #[test]
    fn pairs_follow_the_activation() {
        let identity = "torch.nn.modules.linear.Identity";
        let newer = json!({"sentence_transformers": {"activation_fn": identity, "version": "5.0"},
            "sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"});
        assert_eq!(parse(newer).unwrap().pair_scores, Some(Scores::Raw));
        let older = json!({"sbert_ce_default_activation_function": identity});
        assert_eq!(parse(older).unwrap().pair_scores, Some(Scores::Raw));
    }

    #[test]
    fn models_of_pairs_are_known_by_their_settings() {
        for (fields, on_pairs) in [
            (json!({}), false),
            (json!({"id2label": {"0": "neutral", "1": "sad"}}), false),
            (json!({"id2label": {"0": "ENTAILMENT", "1": "neutral"}}), true),
            (json!({"sentence_transformers": {"version": "5.0"}, "num_labels": 3}), true),
            (json!({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}), true),
        ] {
            assert_eq!(parse(fields.clone()).unwrap().on_pairs, on_pairs, "{fields}");
        }
    }

    #[test]
    fn what_is_no_classifier_is_refused() {
        for (fields, named) in [
            (json!({"architectures": ["BertForTokenClassification"]}), "BertForTokenClassification"),
            (json!({"id2label": {"0": "a", "2": "b"}}), "\"2\""),
            (json!({"id2label": {"0": "a", "00": "b"}}), "every class"),
            (json!({"id2label": {}}), "every class"),
            (json!({"id2label": {"0": [1]}}), "id2label"),
            (json!({"id2label": ["a"]}), "id2label"),
            (json!({"num_labels": 1e12}), "num_labels"),
            (json!({"problem_type": "ranking"}), "ranking"),
            (json!({"sentence_transformers": {"activation_fn": "own.Code"}}), "own.Code"),
        ] {
            let error = parse(fields.clone()).expect_err(named).to_string();
            assert!(error.contains(named), "{fields}: {error}");
        }
    }
}
