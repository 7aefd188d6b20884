//! A pipeline from files to labels over the bundled model.

use std::{path::PathBuf, sync::Arc};

use gristmill::{Error, Hints, Inference, Model, Pipeline, Result, Session, SessionOptions, Slots, Tensors};

use super::{
    features::{self, Features},
    labels::{Label, Labels},
};

/// The bundled model, which skips files that need no model.
pub struct Identifier {
    session: Session,
    labels: Arc<Labels>,
}

impl Identifier {
    /// Loads the bundled model.
    pub fn load(options: &SessionOptions) -> Result<Self> {
        let model = Model::from_bytes(include_bytes!("../models/magika/model.onnx"))?;
        Ok(Self { session: model.session(options)?, labels: Arc::new(Labels::bundled()?) })
    }

    /// The pipeline from a path to a label.
    pub fn pipeline(self) -> Pipeline<PathBuf, Self, Label> {
        let labels = self.labels.clone();
        Pipeline::new(self)
            .prepare(move |path: &PathBuf| Ok(features::of_path(path, labels.config())?))
            .finish(|_, label| Ok(label))
            .item_bytes(|path: &PathBuf| size_of::<PathBuf>() + path.as_os_str().len())
            .result_bytes(|label: &Label| size_of::<Label>() + label.label.len())
    }
}

impl Inference for Identifier {
    type Input = Features;
    type Output = Label;

    fn infer(&self, chunk: &[&Features], out: &mut Slots<'_, Label>) -> Result<()> {
        let mut places = Vec::with_capacity(chunk.len());
        let mut inputs: Vec<&Tensors> = Vec::with_capacity(chunk.len());
        for (place, features) in chunk.iter().enumerate() {
            match features {
                Features::Known(label) => out.set(place, Label { label: (*label).to_owned(), score: 1.0 }),
                Features::Bytes(tensors) => {
                    places.push(place);
                    inputs.push(tensors);
                }
            }
        }
        let mut outputs: Vec<Option<Result<Tensors>>> = Vec::new();
        outputs.resize_with(inputs.len(), || None);
        self.session.infer(&inputs, &mut Slots::new(&mut outputs))?;
        for (place, output) in places.into_iter().zip(outputs) {
            let scores = output.unwrap_or_else(|| Err(Error::invalid_model("the session gave a file no result")));
            let label = scores.and_then(|outputs| {
                let scores = outputs
                    .get("target_label")
                    .ok_or_else(|| Error::invalid_model("the model has no output `target_label`"))?;
                self.labels.choose(scores.as_slice()?)
            });
            match label {
                Ok(label) => out.set(place, label),
                Err(error) => out.fail(place, error),
            }
        }
        Ok(())
    }

    fn cost(&self, features: &Features) -> u64 {
        // A file that the model reads costs thousands of times as much as one that it skips.
        match features {
            Features::Known(_) => 1,
            Features::Bytes(_) => 4096,
        }
    }

    fn input_bytes(&self, features: &Features) -> usize {
        match features {
            Features::Known(_) => size_of::<Features>(),
            Features::Bytes(tensors) => size_of::<Features>() + tensors.byte_len(),
        }
    }

    fn hints(&self) -> Hints {
        // The session's preference is in another unit than the costs above.
        self.session.hints().preferred_chunk_cost(None)
    }

    fn describe(&self) -> gristmill::Description {
        self.session.describe()
    }
}
