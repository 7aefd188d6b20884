//! How images become a model's input: preprocessor_config.json, as transformers' image processors read it.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        config::{Family, Reader},
        files::settings,
    },
};

/// The longest side of an image for a model.
const MAX_SIDE: usize = 4096;

/// Settings that do not change what a single image becomes.
const IGNORED: &[&str] = &[
    "_valid_processor_keys",
    "data_format",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "image_seq_length",
    "input_data_format",
    "pad_size",
    "processor_class",
    "return_tensors",
    "use_fast",
];

/// How new pixels are made of old ones, with PIL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Nearest,
    Box,
    Bilinear,
    Hamming,
    Bicubic,
    Lanczos,
}

impl Filter {
    /// The filter of PIL's number.
    pub(crate) fn of(number: usize) -> Self {
        match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            4 => Self::Box,
            5 => Self::Hamming,
            _ => Self::Bicubic,
        }
    }
}

/// The size to which an image is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageSize {
    /// Height and width.
    Sides([usize; 2]),
    /// That of the shorter side, and the most of the longer one; the ratio is kept.
    Shorter(usize, Option<usize>),
}

/// The steps from the pixels of an image to a model's input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageSettings {
    pub(crate) resize: Option<(ImageSize, Filter)>,
    /// Height and width of the part in the middle that is kept.
    pub(crate) crop: Option<[usize; 2]>,
    /// The factor of all numbers.
    rescale: Option<f64>,
    /// What is subtracted from each colour, and what it is divided by.
    normalize: Option<[[f64; 3]; 2]>,
}

/// What a class of image processors does where the file is silent.
struct Defaults {
    square: bool,
    filter: u64,
    crop: bool,
    mean: [f64; 3],
    deviation: [f64; 3],
}

const HALF: Defaults = Defaults { square: true, filter: 2, crop: false, mean: [0.5; 3], deviation: [0.5; 3] };
const CLIP: Defaults = Defaults {
    square: false,
    filter: 3,
    crop: true,
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_58, 0.275_777_11],
};
const SIGLIP: Defaults = Defaults { filter: 3, ..HALF };

impl ImageSettings {
    /// Reads the settings of a folder with a model of this family.
    pub(super) fn read(folder: &Path, family: Family) -> Result<Self> {
        const NEWER: &str = "processor_config.json";
        const OLDER: &str = "preprocessor_config.json";
        if let Some(mut fields) = settings(folder, NEWER)?
            && let Some(own) = fields.remove("image_processor")
        {
            let Value::Object(own) = own else {
                return Err(Error::invalid_model(format!("`{NEWER}`: image_processor is no object")));
            };
            return Self::parse(own.into_iter().collect(), family).context(|| format!("`{NEWER}`: image_processor"));
        }
        let fields = settings(folder, OLDER)?;
        let missing = || Error::io(std::io::ErrorKind::NotFound.into(), format!("`{OLDER}` is missing"));
        Self::parse(fields.ok_or_else(missing)?, family).context(|| format!("`{OLDER}`"))
    }

    fn parse(fields: BTreeMap<String, Value>, family: Family) -> Result<Self> {
        let reader = Reader::new(fields);
        let [newer, older] = ["image_processor_type", "feature_extractor_type"].map(|name| reader.text(name, None));
        let class = if newer.is_empty() { older } else { newer };
        let ends = ["ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor"];
        let defaults = match ends.iter().find_map(|end| class.strip_suffix(end)).unwrap_or(&class) {
            "ViT" => &HALF,
            "CLIP" | "Bit" => &CLIP,
            "Siglip" => &SIGLIP,
            "" => match family {
                Family::ClipVision | Family::Dinov2 => &CLIP,
                Family::SiglipVision => &SIGLIP,
                _ => &HALF,
            },
            _ => {
                let known = "ViTImageProcessor, CLIPImageProcessor, BitImageProcessor and SiglipImageProcessor";
                return Err(Error::unsupported(format!("the image processor `{class}`; supported are {known}")));
            }
        };
        let square = reader.flag("default_to_square", defaults.square);
        let resizes = reader.flag("do_resize", true);
        let filter = Filter::of(reader.size("resample", 0..=5, Some(defaults.filter as usize)));
        let size = reader.value("size").map(|value| size(&value, square)).transpose().context(|| "size".into())?;
        let size =
            size.unwrap_or(if defaults.square { ImageSize::Sides([224; 2]) } else { ImageSize::Shorter(224, None) });
        let crops = reader.flag("do_center_crop", defaults.crop);
        let crop = reader.value("crop_size").map(|value| self::size(&value, true)).transpose();
        let crop = match crop.context(|| "crop_size".into())? {
            None if defaults.crop => Some([224; 2]),
            None => None,
            Some(ImageSize::Sides(sides)) => Some(sides),
            Some(_) => return Err(Error::unsupported("a crop_size without height and width")),
        };
        if crops && crop.is_none() {
            return Err(Error::invalid_model("do_center_crop without a crop_size"));
        }
        let rescales = reader.flag("do_rescale", true);
        let factor = reader.number("rescale_factor", 1.0 / 255.0);
        let normalizes = reader.flag("do_normalize", true);
        let [mean, deviation] =
            [("image_mean", defaults.mean), ("image_std", defaults.deviation)].map(|(name, own)| {
                let value = reader.value(name);
                value.map_or(Ok(own), |value| colours(&value).ok_or_else(|| wrong(name, &value)))
            });
        let (mean, deviation) = (mean?, deviation?);
        if deviation.contains(&0.0) {
            return Err(Error::invalid_model("image_std is 0"));
        }
        reader.refuse_unless("do_pad", &[Value::from(false)])?;
        let unread = reader.finish("the settings are not an image processor's")?;
        let unread: Vec<&str> = unread
            .iter()
            .filter(|(name, value)| !value.is_null() && !IGNORED.contains(&name.as_str()))
            .map(|(name, _)| name.as_str())
            .collect();
        if !unread.is_empty() {
            return Err(Error::unsupported(format!("settings that are not read: {}", unread.join(", "))));
        }
        Ok(Self {
            resize: resizes.then_some((size, filter)),
            crop: crop.filter(|_| crops),
            rescale: rescales.then_some(factor),
            normalize: normalizes.then_some([mean, deviation]),
        })
    }

    /// Height and width of what an image becomes.
    ///
    /// # Errors
    /// If they depend on the image.
    pub(super) fn sides(&self) -> Result<[usize; 2]> {
        match (self.crop, self.resize) {
            (Some(sides), _) | (None, Some((ImageSize::Sides(sides), _))) => Ok(sides),
            _ => Err(Error::unsupported("images that keep sizes of their own; the settings crop none to one size")),
        }
    }

    /// The number that each byte of each colour becomes.
    pub(crate) fn numbers(&self) -> [[f32; 256]; 3] {
        let number = |colour: usize, byte: usize| {
            let byte = byte as f64;
            let number = self.rescale.map_or(byte, |factor| byte * factor) as f32;
            match &self.normalize {
                Some([mean, deviation]) => (number - mean[colour] as f32) / deviation[colour] as f32,
                None => number,
            }
        };
        [0, 1, 2].map(|colour| std::array::from_fn(|byte| number(colour, byte)))
    }
}

fn wrong(name: &str, value: &Value) -> Error {
    Error::invalid_model(format!("{name} is {value}"))
}

/// One number for all colours, or one for each.
fn colours(value: &Value) -> Option<[f64; 3]> {
    let finite = |value: &Value| value.as_f64().filter(|number| number.is_finite());
    match value {
        Value::Array(values) => values.iter().map(finite).collect::<Option<Vec<_>>>()?.try_into().ok(),
        value => finite(value).map(|number| [number; 3]),
    }
}

/// A size in any of the forms that transformers takes.
fn size(value: &Value, square: bool) -> Result<ImageSize> {
    let side = |value: &Value| {
        let side = value.as_u64().and_then(|side| usize::try_from(side).ok());
        side.filter(|side| (1..=MAX_SIDE).contains(side))
            .ok_or_else(|| Error::invalid_model(format!("a side of {value} where 1 to {MAX_SIDE} is allowed")))
    };
    match value {
        Value::Number(_) if square => Ok(ImageSize::Sides([side(value)?; 2])),
        Value::Number(_) => Ok(ImageSize::Shorter(side(value)?, None)),
        Value::Array(sides) if sides.len() == 2 => Ok(ImageSize::Sides([side(&sides[0])?, side(&sides[1])?])),
        Value::Object(sides) => {
            let sides: BTreeMap<&str, &Value> = sides
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.as_str(), value))
                .collect();
            match sides.into_iter().collect::<Vec<_>>()[..] {
                [("height", height), ("width", width)] => Ok(ImageSize::Sides([side(height)?, side(width)?])),
                [("shortest_edge", edge)] => Ok(ImageSize::Shorter(side(edge)?, None)),
                [("longest_edge", most), ("shortest_edge", edge)] => {
                    Ok(ImageSize::Shorter(side(edge)?, Some(side(most)?)))
                }
                _ => Err(Error::unsupported(format!("{value}; supported are height and width, or shortest_edge"))),
            }
        }
        _ => Err(Error::invalid_model(format!("is {value}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(fields: Value, family: Family) -> Result<ImageSettings> {
        ImageSettings::parse(serde_json::from_value(fields).unwrap(), family)
    }

    #[test]
    fn silent_files_have_the_defaults_of_their_class() {
        let clip = parse(json!({"feature_extractor_type": "CLIPFeatureExtractor", "size": 336}), Family::Vit).unwrap();
        assert_eq!(clip.resize, Some((ImageSize::Shorter(336, None), Filter::Bicubic)));
        assert_eq!((clip.crop, clip.sides().unwrap()), (Some([224; 2]), [224; 2]));
        let vit = parse(json!({"size": 384, "crop_size": 9}), Family::Vit).unwrap();
        assert_eq!(vit.resize, Some((ImageSize::Sides([384; 2]), Filter::Bilinear)));
        assert_eq!((vit.crop, vit.sides().unwrap()), (None, [384; 2]));
        let siglip = parse(json!({"image_processor_type": "SiglipImageProcessorFast"}), Family::Vit).unwrap();
        assert_eq!(siglip.resize, Some((ImageSize::Sides([224; 2]), Filter::Bicubic)));
        assert_eq!(siglip.numbers()[1][255], 1.0);
        assert_eq!(parse(json!({}), Family::Dinov2).unwrap(), parse(json!({}), Family::ClipVision).unwrap());
    }

    #[test]
    fn what_changes_pixels_and_is_not_built_is_refused() {
        for (fields, named) in [
            (json!({"image_processor_type": "ConvNextImageProcessor"}), "ConvNextImageProcessor"),
            (json!({"crop_pct": 0.9}), "crop_pct"),
            (json!({"do_pad": true}), "do_pad"),
            (json!({"size": {"longest_edge": 9}}), "longest_edge"),
            (json!({"size": 1e12}), "size"),
            (json!({"size": 0}), "size"),
            (json!({"resample": 9}), "resample"),
            (json!({"image_std": [0.5, 0, 0.5]}), "image_std"),
            (json!({"image_mean": [0.5, 0.5]}), "image_mean"),
            (json!({"do_center_crop": true}), "crop_size"),
        ] {
            let error = parse(fields.clone(), Family::Vit).expect_err(named).to_string();
            assert!(error.contains(named), "{fields}: {error}");
        }
        let loose = json!({"size": {"shortest_edge": 9}});
        assert!(parse(loose, Family::Vit).unwrap().sides().is_err());
    }
}
