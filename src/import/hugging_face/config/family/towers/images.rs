//! CLIP, SigLIP, ViT and DINOv2, also with registers: encoders of images.

use serde_json::Value;

use super::{Defaults, SIGLIP, layers};
use crate::{
    error::{Error, Result},
    import::hugging_face::config::{Config, Family, Patches, family::refuse_all, reader::Reader},
};

/// The type of DINOv2 with rows that belong to no place.
const REGISTERS: &str = "dinov2_with_registers";

/// The longest side of an image or a patch.
const MAX_SIDE: usize = 4096;

const CLIP_VISION: Defaults = Defaults { activation: "quick_gelu", epsilon: 1e-5, ..SIGLIP };
const VIT: Defaults = Defaults { activation: "gelu", epsilon: 1e-12, ..SIGLIP };
const DINOV2: Defaults = Defaults { activation: "gelu", ..SIGLIP };

/// An encoder of images.
pub(in crate::import::hugging_face::config) fn read_images(reader: &Reader) -> Result<Config> {
    let model_type = reader.text("model_type", None);
    let (family, defaults, side, patch) = match model_type.as_str() {
        "clip_vision_model" => (Family::ClipVision, &CLIP_VISION, 224, 32),
        "siglip_vision_model" => (Family::SiglipVision, &SIGLIP, 224, 16),
        "vit" => (Family::Vit, &VIT, 224, 16),
        "dinov2" => (Family::Dinov2, &DINOV2, 224, 14),
        REGISTERS => (Family::Dinov2, &DINOV2, 224, 16),
        "" => return Err(Error::invalid_model("model_type is missing")),
        other => {
            let message =
                format!("model_type `{other}` for images; supported are clip, dinov2, {REGISTERS}, siglip and vit");
            return Err(Error::unsupported(message));
        }
    };
    refuse_all(reader, family)?;
    reader.refuse_unless("num_channels", &[Value::from(3)])?;
    reader.refuse_unless("qkv_bias", &[Value::from(true)])?;
    let mut config = layers(reader, family, defaults)?;
    let (image, size) = (sides(reader, "image_size", side)?, sides(reader, "patch_size", patch)?);
    let patches = Patches {
        size,
        image,
        given: image,
        class: family != Family::SiglipVision,
        registers: match model_type.as_str() {
            REGISTERS => reader.size("num_register_tokens", 0..=1 << 10, Some(4)),
            _ => 0,
        },
        bias: family != Family::ClipVision,
        any_size: family == Family::Dinov2,
        antialiased: model_type == REGISTERS,
        head: family == Family::SiglipVision && reader.flag("vision_use_head", true),
    };
    let [rows, columns] = patches.grid(image);
    let count = rows * columns;
    if count == 0 {
        reader.problem(format!("patch_size {size:?} does not fit into image_size {image:?}"));
    }
    if patches.any_size && rows != columns {
        reader.problem(format!("image_size {image:?} is not square"));
    }
    let count = count + usize::from(patches.class);
    (config.position_rows, config.positions.count) = (Some(count), count + patches.registers);
    config.patches = Some(patches);
    config.scaled_halves = family == Family::Dinov2;
    Ok(config)
}

/// Height and width, given as one number or two.
fn sides(reader: &Reader, name: &str, default: usize) -> Result<[usize; 2]> {
    let Some(values) = reader.numbers(name) else {
        return Ok([reader.size(name, 1..=MAX_SIDE, Some(default)); 2]);
    };
    let sides = values.iter().map(|value| usize::try_from(*value).ok().filter(|side| (1..=MAX_SIDE).contains(side)));
    match sides.collect::<Option<Vec<_>>>().as_deref() {
        Some(&[height, width]) => Ok([height, width]),
        _ => Err(Error::invalid_model(format!("{name} is {values:?}"))),
    }
}
