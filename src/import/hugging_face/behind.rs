//! The steps behind an encoder, from the modules that a folder lists and what the caller wants.

use std::path::Path;

use crate::{
    error::{Context, Error, Result},
    import::{
        hugging_face::{
            Pooling,
            config::{Config, TextEnd},
            encoder::{self, Affine, Norm, Product, Residual, Stage},
            folder_options::FolderOptions,
            problems::Problems,
            sentence::{Dense, Late, Module, Sentence, Step},
            weights::Weights,
        },
        options::ImportOptions,
    },
    kernels::Activation,
};

/// torch's epsilon of a LayerNorm.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// The steps behind an encoder.
pub(super) struct Behind {
    pub(super) stages: Vec<Stage>,
    /// The columns of the result.
    pub(super) width: usize,
    /// The ways of pooling.
    pub(super) pooling: Vec<Pooling>,
    /// The steps in words.
    pub(super) steps: String,
}

impl Behind {
    /// Whether a token that texts have for their end is looked at.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.stages.first(), Some(Stage::PoolAtEnd))
    }

    /// Whether each vector has the length 1.
    pub(super) fn is_normalized(&self) -> bool {
        matches!(self.stages.last(), Some(Stage::Normalize))
    }
}

/// The steps of a folder whose encoder gives rows of `hidden` columns; adds the modules' weights to `sources`.
/// A `tower` is what an encoder with its own pooling begins with.
pub(super) fn embedding(
    sentence: &Sentence,
    hidden: usize,
    tower: Option<Behind>,
    options: &FolderOptions,
    sources: &mut Vec<Weights>,
) -> Result<Behind> {
    if tower.is_some() && (options.pooling.is_some() || sentence.pooling().is_some()) {
        return Err(Error::unsupported("a pooling behind an encoder that has its own"));
    }
    let mut behind = tower.unwrap_or_else(|| {
        let pooling = options.pooling.map(|mode| vec![mode]);
        let pooling = pooling.or(sentence.pooling()).unwrap_or_else(|| vec![Pooling::Mean]);
        Behind {
            width: hidden.saturating_mul(pooling.len()),
            stages: vec![Stage::Pool(pooling.clone())],
            steps: pooling.iter().map(|mode| format!("{mode:?}")).collect::<Vec<_>>().join(" and "),
            pooling,
        }
    });
    for module in &sentence.modules {
        match module {
            Module::Pooling(_) => {}
            Module::Normalize => behind.stages.push(Stage::Normalize),
            Module::Dense(dense) => {
                behind.dense(dense, &options.import, sources).context(|| of_module(&dense.folder))?;
            }
            Module::LayerNorm { folder, width } => {
                behind.layer_norm((folder, *width), &options.import, sources).context(|| of_module(folder))?;
            }
        }
    }
    if options.normalize == Some(false) && behind.is_normalized() {
        behind.stages.pop();
    }
    behind.truncate(sentence.truncate_dim, options.truncate_dim)?;
    if options.normalize == Some(true) && !behind.is_normalized() {
        behind.stages.push(Stage::Normalize);
    }
    behind.steps.push_str(&format!(", normalized {}", behind.is_normalized()));
    Ok(behind)
}

/// What CLIP and SigLIP have behind their encoder of texts; none for other models.
pub(super) fn text_tower(config: &Config, weights: &Weights, problems: &mut Problems) -> Option<Behind> {
    let end = config.text_end?;
    let own = format!("{}head.weight", encoder::prefix(config, weights));
    let (name, bias) = if end == TextEnd::Padded { (own.as_str(), true) } else { ("text_projection.weight", false) };
    let mut behind = Behind {
        stages: vec![Stage::Pool(vec![Pooling::Last])],
        width: config.hidden,
        pooling: vec![Pooling::Last],
        steps: "Last".to_owned(),
    };
    if bias || weights.shape(name).is_some() {
        behind.project(name, config, bias, weights, problems);
    }
    Some(behind)
}

/// The steps of a folder that gives each token a vector.
pub(super) fn token_vectors(
    late: &Late,
    hidden: usize,
    projection: Option<Affine>,
    options: &ImportOptions,
    sources: &mut Vec<Weights>,
) -> Result<Behind> {
    let mut behind =
        Behind { stages: Vec::new(), width: hidden, pooling: Vec::new(), steps: "a vector of each token".to_owned() };
    if let Some(affine) = projection {
        behind.width = affine.columns();
        behind.steps.push_str(&format!(", to {}", behind.width));
        let (activation, residual) = (Activation::None, Residual::Nothing);
        behind.stages.push(Stage::Product(Product { source: 0, affine, activation, residual }));
    }
    for step in &late.steps {
        match step {
            Step::Dense(dense) => behind.dense(dense, options, sources).context(|| of_module(&dense.folder))?,
            Step::Normalize => behind.stages.push(Stage::Normalize),
        }
    }
    behind.steps.push_str(&format!(", normalized {}", behind.is_normalized()));
    Ok(behind)
}

/// The product of a file of its own, of each token, with `outputs` columns or as many as the file gives it.
pub(super) fn of_tokens(
    file: &Path,
    (hidden, outputs): (usize, Option<usize>),
    activation: Activation,
    options: &ImportOptions,
    sources: &mut Vec<Weights>,
) -> Result<Behind> {
    let (weights, mut problems) = (Weights::open_file(file, options)?, Problems::default());
    let affine = match outputs {
        Some(outputs) => Affine::find(&weights, &["weight".to_owned()], (hidden, outputs), true, &mut problems),
        None => Affine::find_of_any_width(&weights, "weight", hidden, true, &mut problems),
    };
    let width = affine.columns();
    refuse_others(&weights, &["weight", "bias"], &mut problems);
    problems.finish("the file does not fit the encoder")?;
    let product = Product { source: sources.len(), affine, activation, residual: Residual::Nothing };
    sources.push(weights);
    Ok(Behind { stages: vec![Stage::Product(product)], width, pooling: Vec::new(), steps: String::new() })
}

fn of_module(folder: &Path) -> String {
    format!("module `{}`", folder.file_name().unwrap_or_default().to_string_lossy())
}

fn refuse_others(weights: &Weights, known: &[&str], problems: &mut Problems) {
    for name in weights.names().filter(|name| !known.contains(name)) {
        problems.add(|| format!("the tensor `{name}` has no place in the module"));
    }
}

impl Behind {
    /// Adds the product `name` of the encoder's own file, of whatever width.
    pub(super) fn project(
        &mut self,
        name: &str,
        config: &Config,
        bias: bool,
        weights: &Weights,
        problems: &mut Problems,
    ) {
        let affine = Affine::find_of_any_width(weights, name, config.hidden, bias, problems);
        self.width = affine.columns();
        let (activation, residual) = (Activation::None, Residual::Nothing);
        self.stages.push(Stage::Product(Product { source: 0, affine, activation, residual }));
        self.steps.push_str(&format!(", to {}", self.width));
    }

    fn expect(&self, width: usize, what: &str) -> Result<()> {
        if width == self.width {
            return Ok(());
        }
        Err(Error::invalid_model(format!("{what} takes vectors of {width}, before it they have {}", self.width)))
    }

    fn dense(&mut self, dense: &Dense, options: &ImportOptions, sources: &mut Vec<Weights>) -> Result<()> {
        self.expect(dense.inputs, "in_features")?;
        let (sizes, source) = ((dense.inputs, dense.outputs), sources.len());
        let (weights, mut problems) = (Weights::open(&dense.folder, options)?, Problems::default());
        let affine = Affine::find(&weights, &["linear.weight".to_owned()], sizes, dense.bias, &mut problems);
        let mut known = vec!["linear.weight"];
        known.extend(dense.bias.then_some("linear.bias"));
        let residual = match (dense.residual, dense.inputs == dense.outputs) {
            (false, _) => Residual::Nothing,
            (true, true) => Residual::Input,
            (true, false) => {
                known.push("residual.weight");
                Residual::Product(Affine::find(&weights, &["residual.weight".to_owned()], sizes, false, &mut problems))
            }
        };
        refuse_others(&weights, &known, &mut problems);
        problems.finish("the files do not fit together")?;
        self.width = dense.outputs;
        self.steps.push_str(&format!(", to {} by {:?}", dense.outputs, dense.activation));
        self.stages.push(Stage::Product(Product { source, affine, activation: dense.activation, residual }));
        sources.push(weights);
        Ok(())
    }

    fn layer_norm(
        &mut self,
        (folder, width): (&Path, usize),
        options: &ImportOptions,
        sources: &mut Vec<Weights>,
    ) -> Result<()> {
        self.expect(width, "dimension")?;
        let (weights, mut problems) = (Weights::open(folder, options)?, Problems::default());
        let mut find = |name: &str| weights.find(&[name.to_owned()], &[width], &mut problems);
        let norm = Norm { scale: find("norm.weight"), bias: Some(find("norm.bias")) };
        refuse_others(&weights, &["norm.weight", "norm.bias"], &mut problems);
        problems.finish("the files do not fit together")?;
        self.steps.push_str(", layer norm");
        self.stages.push(Stage::Norm { source: sources.len(), norm, epsilon: LAYER_NORM_EPSILON });
        sources.push(weights);
        Ok(())
    }

    /// Keeps the first columns: as many as the folder says, or the caller, who is told where there are fewer.
    fn truncate(&mut self, by_folder: Option<usize>, by_caller: Option<usize>) -> Result<()> {
        let most = self.width;
        if let Some(width) = by_caller.filter(|width| !(1..=most).contains(width)) {
            return Err(Error::invalid_input(format!("truncate_dim is {width}; the vectors have {most} numbers")));
        }
        if let Some(width) = by_caller.or(by_folder).filter(|width| *width < most) {
            self.width = width;
            self.steps.push_str(&format!(", the first {width}"));
            self.stages.push(Stage::Truncate(width));
        }
        Ok(())
    }
}
