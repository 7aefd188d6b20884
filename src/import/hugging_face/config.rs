//! config.json: the structure of the encoder, described by its parts.

mod decoder;
mod family;
mod parts;
mod reader;
mod unread;

use std::{collections::BTreeMap, path::Path};

pub(super) use decoder::Decoder;
pub(crate) use decoder::DecoderStart;
pub(super) use family::activation;
pub(super) use parts::{
    Adapters, Convolution, Disentangled, LayerKind, MixedExperts, NormKind, Placement, RelativeBuckets, Rotary,
    RotaryScaling,
};
pub(super) use reader::Reader;
use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{Positions, files::settings},
    kernels::{Activation, attention::Reach},
};

/// The model family, which decides the names of tensors and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Albert,
    Bart,
    /// The decoder of BART.
    BartDecoder,
    Bert,
    ClipText,
    #[cfg(feature = "vision")]
    ClipVision,
    Deberta,
    DebertaV2,
    #[cfg(feature = "vision")]
    Dinov2,
    DistilBert,
    Electra,
    Ernie,
    Esm,
    /// ESM with a norm of the embeddings.
    EsmNormed,
    EuroBert,
    Gemma3,
    Gte,
    JinaBert,
    JinaV3,
    Llama,
    Mistral,
    ModernBert,
    Mpnet,
    NomicBert,
    Qwen2,
    Qwen3,
    Roberta,
    SiglipText,
    #[cfg(feature = "vision")]
    SiglipVision,
    T5,
    /// The decoder of T5.
    T5Decoder,
    #[cfg(feature = "vision")]
    Vit,
    XlmRobertaXl,
}

/// The settings of an encoder, checked against bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) family: Family,
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    /// The columns of the embedding tables, if a product widens them to `hidden`.
    pub(super) embedding: Option<usize>,
    /// The factor of the words' vectors.
    pub(super) embedding_scale: f32,
    /// The layers in order.
    pub(super) layers: Vec<LayerKind>,
    /// The number of layers with weights of their own, each shared by as many layers in a row.
    pub(super) groups: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) head_dim: usize,
    /// The factor of the scores.
    pub(super) scale: f32,
    pub(super) intermediate: usize,
    /// The number of rows in the position table, if there is one.
    pub(super) position_rows: Option<usize>,
    pub(super) positions: Positions,
    pub(super) token_types: Option<usize>,
    /// The rows of a table whose first is added to every word's vector.
    pub(super) task_types: Option<usize>,
    pub(super) relative: Option<RelativeBuckets>,
    pub(super) disentangled: Option<Disentangled>,
    pub(super) convolution: Option<Convolution>,
    pub(super) adapters: Option<Adapters>,
    pub(super) experts: Option<MixedExperts>,
    /// Whether each head has a bias that grows with the distance, by a slope of its own.
    pub(super) sloped: bool,
    /// What the frequencies of rotary positions are divided by.
    pub(super) rotary_divisor: f64,
    pub(super) placement: Placement,
    pub(super) norm: NormKind,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
    /// Whether the activated product is multiplied by a second one.
    pub(super) gated: bool,
    /// Whether queries and keys are normalized head by head.
    pub(super) normed_heads: bool,
    /// The patches of an image, in place of words.
    pub(super) patches: Option<Patches>,
    /// A factor of the activation's operand, by which its result is divided.
    pub(super) activation_factor: f32,
    /// Whether the result of each half has a factor for each column.
    pub(super) scaled_halves: bool,
    /// The token whose vector is that of a text, if the model has its own pooling.
    pub(super) text_end: Option<TextEnd>,
    /// A token by whose part of a text the words' vectors are scaled, which no text may have.
    pub(super) scaled_by_mask: Option<u32>,
    /// The decoder, whose results count in place of the encoder's.
    pub(super) decoder: Option<Box<Decoder>>,
}

/// The patches of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patches {
    /// Height and width of a patch.
    pub(super) size: [usize; 2],
    /// Height and width of the images that the model was made for.
    pub(super) image: [usize; 2],
    /// Height and width of the images that it is given.
    pub(super) given: [usize; 2],
    /// Whether a row for the whole image stands in front.
    pub(super) class: bool,
    /// The rows behind it that belong to no place (registers).
    pub(super) registers: usize,
    /// Whether the product of the patches has a bias.
    pub(super) bias: bool,
    /// Whether positions are interpolated for images of other sizes.
    pub(super) any_size: bool,
    /// Whether that is done with a filter as wide as the places of fewer patches.
    pub(super) antialiased: bool,
    /// Whether a head with attention makes the image's vector.
    pub(super) head: bool,
}

impl Patches {
    /// Rows and columns of patches in an image of these sides.
    #[cfg(feature = "vision")]
    pub(super) fn grid(&self, sides: [usize; 2]) -> [usize; 2] {
        [sides[0] / self.size[0], sides[1] / self.size[1]]
    }

    /// The rows in front of the patches.
    #[cfg(feature = "vision")]
    pub(super) fn front(&self) -> usize {
        usize::from(self.class) + self.registers
    }
}

/// How the vector of a text is found, in a tower for texts beside one for images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextEnd {
    /// The first token of this number.
    Token(u32),
    /// The first of the tokens with the highest number.
    Highest,
    /// The last of as many tokens as there are positions, filled up with padding.
    Padded,
}

/// Which of the encoders that a folder may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tower {
    Texts,
    /// As texts, with a decoder of which a head for classes alone has need.
    TextClasses,
    #[cfg(feature = "vision")]
    Images,
}

impl Config {
    /// An encoder whose layers see all tokens and are normalized behind each half, without positions.
    ///
    /// What a family has otherwise stands in its own reader, as do `vocabulary`, `intermediate` and `epsilon`.
    fn plain(family: Family, hidden: usize, heads: usize, layers: usize) -> Self {
        let head_dim = hidden / heads;
        Self {
            family,
            vocabulary: 0,
            hidden,
            embedding: None,
            embedding_scale: 1.0,
            layers: vec![LayerKind { reach: Reach::ALL, rotary: None }; layers],
            groups: layers,
            heads,
            key_heads: heads,
            head_dim,
            scale: (head_dim as f32).sqrt().recip(),
            intermediate: 0,
            position_rows: None,
            positions: Positions { first: 0, count: 0, skipped: None },
            token_types: None,
            task_types: None,
            relative: None,
            disentangled: None,
            convolution: None,
            adapters: None,
            experts: None,
            sloped: false,
            rotary_divisor: 1.0,
            placement: Placement::After,
            norm: NormKind::Layer,
            epsilon: 0.0,
            activation: Activation::Gelu,
            gated: false,
            normed_heads: false,
            patches: None,
            activation_factor: 1.0,
            scaled_halves: false,
            text_end: None,
            scaled_by_mask: None,
            decoder: None,
        }
    }

    /// Whether the embeddings are widened before they are normalized, without a bias.
    pub(super) fn projects_first(&self) -> bool {
        matches!(self.family, Family::Deberta | Family::DebertaV2)
    }

    /// Whether a family's layers are those of a language model, whose classifiers look at the last token.
    pub(super) fn is_decoder(family: Family) -> bool {
        matches!(family, Family::Gemma3 | Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3)
    }

    /// Makes positions for texts of `asked` tokens, if they have neither a table nor angles that depend on their number.
    pub(super) fn allow_tokens(&mut self, asked: usize) {
        let is_fixed = |rotary: Rotary| rotary.scaling != RotaryScaling::Dynamic;
        let all = self.layers.iter().filter_map(|layer| layer.rotary).all(is_fixed);
        if self.position_rows.is_none() && !self.sloped && all && self.rotary_divisor == 1.0 {
            self.positions.count = self.positions.count.max(asked.min(family::MAX_TURNED));
        }
    }

    /// Whether tokens are told apart by positions that a run is given.
    pub(super) fn has_position_ids(&self) -> bool {
        self.position_rows.is_some() || self.layers.iter().any(|layer| layer.rotary.is_some())
    }
}

/// Reads config.json; also returns a note on settings that were not read, if any.
pub(super) fn read(folder: &Path, tower: Tower) -> Result<(Config, Vec<String>)> {
    let fields = settings(folder, "config.json")?
        .ok_or_else(|| Error::io(std::io::ErrorKind::NotFound.into(), "`config.json` is missing"))?;
    of_tower(fields, tower).and_then(|fields| parse(fields, tower)).context(|| "`config.json`".into())
}

/// The settings of a tower, where a file holds those of two.
fn of_tower(mut fields: BTreeMap<String, Value>, tower: Tower) -> Result<BTreeMap<String, Value>> {
    let kind = match fields.get("model_type").and_then(Value::as_str) {
        Some(kind @ ("clip" | "siglip")) => kind.to_owned(),
        _ => return Ok(fields),
    };
    let (name, model) = match tower {
        Tower::Texts | Tower::TextClasses => ("text_config", "text_model"),
        #[cfg(feature = "vision")]
        Tower::Images => ("vision_config", "vision_model"),
    };
    // transformers lets the older name win, with its class's defaults for all that it lacks.
    let names = [format!("{name}_dict"), name.to_owned()];
    let own = names.iter().find_map(|name| fields.remove(name).filter(|value| !value.is_null()));
    let mut own: BTreeMap<String, Value> = match own {
        None => BTreeMap::new(),
        Some(Value::Object(own)) => own.into_iter().collect(),
        Some(_) => return Err(Error::invalid_model(format!("{name} is no object"))),
    };
    own.insert("model_type".to_owned(), Value::from(format!("{kind}_{model}")));
    Ok(own)
}

fn parse(fields: BTreeMap<String, Value>, tower: Tower) -> Result<(Config, Vec<String>)> {
    let reader = Reader::new(fields);
    let config = match tower {
        Tower::Texts | Tower::TextClasses => family::read(&reader, tower)?,
        #[cfg(feature = "vision")]
        Tower::Images => family::read_images(&reader)?,
    };
    if !config.heads.is_multiple_of(config.key_heads) {
        reader.problem(format!("{} heads cannot share {} heads of keys", config.heads, config.key_heads));
    }
    let mut unread = reader.finish("the settings are not an encoder's")?;
    unread.retain(|name, value| !unread::UNREAD.contains(&name.as_str()) && !value.is_null());
    let names: Vec<_> = unread.into_keys().collect();
    let note = (!names.is_empty()).then(|| format!("config.json: not read: {}", names.join(", ")));
    Ok((config, note.into_iter().collect()))
}

#[cfg(test)]
mod tests;
