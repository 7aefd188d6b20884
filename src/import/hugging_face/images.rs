//! Folders with an encoder of images.

use std::path::Path;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        CLASSES, Classes, Encoder, Folder, FolderOptions, Pooling, Purpose, VECTOR,
        behind::{self, Behind},
        check_is_folder,
        classes::Head,
        config::{Config, Family, Patches, Tower},
        encoder::{self, Affine, AttentionPool, Norm, Stage},
        image_settings::ImageSettings,
        problems::Problems,
        sentence,
        weights::Weights,
    },
};

/// A folder with an encoder of images, and how images become its inputs.
#[derive(Debug)]
pub(crate) struct ImageFolder {
    pub(crate) folder: Folder,
    pub(crate) settings: ImageSettings,
    /// Height and width of a patch.
    pub(crate) patch: [usize; 2],
    /// Rows and columns of patches.
    pub(crate) grid: [usize; 2],
    /// The rows in front of the patches.
    pub(crate) front: usize,
}

/// Reads a folder with an encoder of images for their vectors.
pub(crate) fn open_images(folder: &Path, options: &FolderOptions) -> Result<ImageFolder> {
    let read = || {
        check_is_folder(folder)?;
        let sentence = sentence::read(folder, Purpose::Images)?;
        let transformer = sentence.transformer.clone();
        let (mut encoder, tower) = Encoder::read_tower((&transformer, Tower::Images, ""), &options.import, &[], tower)?;
        let (settings, patches) = fit(&transformer, &mut encoder)?;
        let hidden = encoder.config.hidden;
        let behind = behind::embedding(&sentence, hidden, Some(tower), options, &mut encoder.sources)?;
        Ok(ImageFolder::of(encoder.into_folder(folder, sentence, vec![(VECTOR, behind)], options)?, settings, patches))
    };
    read().context(|| format!("model folder `{}`", folder.display()))
}

/// Reads a folder with an encoder of images and a head for their classes.
pub(crate) fn open_image_classes(folder: &Path, options: &FolderOptions) -> Result<(ImageFolder, Classes)> {
    let read = || {
        check_is_folder(folder)?;
        let sentence = sentence::read(folder, Purpose::ImageClasses)?;
        let (mut encoder, (head, stages)) =
            Encoder::read_tower((folder, Tower::Images, ""), &options.import, &[], |config, weights, problems| {
                let head = Head::read(folder, config.family, Purpose::ImageClasses)?;
                let stages = head.stages(config, weights, problems)?;
                Ok((head, stages))
            })?;
        let (settings, patches) = fit(folder, &mut encoder)?;
        let steps = format!("{} classes", head.count);
        let behind = Behind { stages, width: head.count, pooling: Vec::new(), steps };
        let images = ImageFolder::of(
            encoder.into_folder(folder, sentence, vec![(CLASSES, behind)], options)?,
            settings,
            patches,
        );
        let scores = head.scores;
        Ok((images, Classes { labels: head.labels(), scores }))
    };
    read().context(|| format!("model folder `{}`", folder.display()))
}

impl ImageFolder {
    fn of(folder: Folder, settings: ImageSettings, patches: Patches) -> Self {
        let (patch, grid, front) = (patches.size, patches.grid(patches.given), patches.front());
        Self { folder, settings, patch, grid, front }
    }
}

/// Reads the settings for images, and fits the encoder to what they make.
fn fit(folder: &Path, encoder: &mut Encoder) -> Result<(ImageSettings, Patches)> {
    let settings = ImageSettings::read(folder, encoder.config.family)?;
    let given = settings.sides()?;
    let config = &mut encoder.config;
    let patches = config.patches.as_mut().ok_or_else(|| Error::internal("an encoder of images without patches"))?;
    patches.given = given;
    let grid = patches.grid(given);
    let fits =
        if patches.head || !patches.class { grid == patches.grid(patches.image) } else { given == patches.image };
    if !(fits || patches.any_size && grid[0] * grid[1] > 0) {
        let image = patches.image;
        return Err(Error::invalid_model(format!("the settings make images of {given:?}, the model takes {image:?}")));
    }
    config.positions.count = grid[0] * grid[1] + patches.front();
    Ok((settings, *patches))
}

/// What makes one vector of an image's rows.
fn tower(config: &Config, weights: &Weights, problems: &mut Problems) -> Result<Behind> {
    const PROJECTION: &str = "visual_projection.weight";
    let mut behind = Behind {
        stages: vec![Stage::Pool(vec![Pooling::Cls])],
        width: config.hidden,
        pooling: vec![Pooling::Cls],
        steps: "Cls".to_owned(),
    };
    if config.family == Family::ClipVision && weights.shape(PROJECTION).is_some() {
        behind.project(PROJECTION, config, false, weights, problems);
    }
    if config.family == Family::SiglipVision {
        if !config.patches.is_some_and(|patches| patches.head) {
            return Err(Error::unsupported("vision_use_head is false: the model has no vector of an image"));
        }
        behind.stages = vec![Stage::AttentionPool(Box::new(head(config, weights, problems)))];
        behind.steps = "attention".to_owned();
    }
    Ok(behind)
}

fn head(config: &Config, weights: &Weights, problems: &mut Problems) -> AttentionPool {
    let (hidden, intermediate) = (config.hidden, config.intermediate);
    let prefix = encoder::prefix(config, weights);
    let name = |part: &str| format!("{prefix}head.{part}");
    let mut find = |part: &str, shape: &[usize]| weights.find(&[name(part)], shape, problems);
    let probe = find("probe", &[1, 1, hidden]);
    let qkv = [find("attention.in_proj_weight", &[3 * hidden, hidden]), find("attention.in_proj_bias", &[3 * hidden])];
    let norm = Norm { scale: find("layernorm.weight", &[hidden]), bias: Some(find("layernorm.bias", &[hidden])) };
    let mut affine = |part: &str, sizes| Affine::find(weights, &[name(part)], sizes, true, problems);
    AttentionPool {
        source: 0,
        probe,
        qkv,
        attention: affine("attention.out_proj.weight", (hidden, hidden)),
        norm,
        up: affine("mlp.fc1.weight", (hidden, intermediate)),
        down: affine("mlp.fc2.weight", (intermediate, hidden)),
        activation: config.activation,
        epsilon: config.epsilon,
        heads: config.heads,
    }
}
