//! A text encoder with what stands behind it as a model.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    backend::Session,
    error::{Error, Result},
    inference::{Description, Hints, Inference, Slots},
    tensor::Tensors,
};

/// An encoder with pooling or a head, which turns the token tensors of a text into its vector, or into the numbers of
/// its classes.
///
/// The inputs are `input_ids`, `token_type_ids` and `position_ids`.
#[derive(Debug)]
pub struct EncoderModel {
    pub(super) session: Session,
    /// The graph output that contains the vector of each text.
    pub(super) output: &'static str,
    pub(super) truncated: Arc<AtomicU64>,
    /// The options on which vectors depend, besides those of the session.
    pub(super) options: String,
}

impl EncoderModel {
    /// The session that runs the encoder.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The length of a vector.
    pub(super) fn dimension(&self) -> Option<i64> {
        let (_, fact) = self.session.outputs().find(|(name, _)| *name == self.output)?;
        fact.shape.dims().last()?.as_fixed()
    }

    fn vector(&self, outputs: &Tensors) -> Result<Vec<f32>> {
        let name = self.output;
        let vector = outputs.get(name).ok_or_else(|| Error::internal(format!("the session gave no `{name}`")))?;
        Ok(vector.as_slice::<f32>()?.to_vec())
    }
}

impl Inference for EncoderModel {
    type Input = Tensors;
    type Output = Vec<f32>;

    fn infer(&self, chunk: &[&Tensors], out: &mut Slots<'_, Vec<f32>>) -> Result<()> {
        let mut outputs = Vec::new();
        outputs.resize_with(chunk.len(), || None);
        self.session.infer(chunk, &mut Slots::new(&mut outputs))?;
        for (index, output) in outputs.into_iter().enumerate() {
            let output = output.unwrap_or_else(|| Err(Error::internal("the session gave a text no vector")));
            match output.and_then(|tensors| self.vector(&tensors)) {
                Ok(vector) => out.set(index, vector),
                Err(error) => out.fail(index, error),
            }
        }
        Ok(())
    }

    fn cost(&self, input: &Tensors) -> u64 {
        self.session.cost(input)
    }

    fn input_bytes(&self, input: &Tensors) -> usize {
        self.session.input_bytes(input)
    }

    fn output_bytes(&self, output: &Vec<f32>) -> usize {
        size_of_val(output.as_slice())
    }

    fn hints(&self) -> Hints {
        self.session.hints()
    }

    fn ready_here(&self) -> bool {
        self.session.ready_here()
    }

    fn describe(&self) -> Description {
        let session = self.session.describe();
        let options = format!("{}, {}", session.options, self.options);
        Description { truncated: self.truncated.load(Relaxed), options, ..session }
    }
}
