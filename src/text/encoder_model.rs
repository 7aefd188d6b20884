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
    text::tokenized::{Run, Tokenized},
};

/// An encoder with pooling or heads, which turns the tokens of a text into its vector, or into the numbers of its
/// classes: one list for each window of the text and each head.
#[derive(Clone, Debug)]
pub struct EncoderModel {
    pub(super) session: Arc<Session>,
    /// The graph outputs of the heads, the first of which contains the vector of each text.
    pub(super) outputs: Arc<[&'static str]>,
    pub(super) truncated: Truncated,
    /// The options on which vectors depend, besides those of the session.
    pub(super) options: String,
}

/// The number of texts that were truncated, for one way of preparing them.
#[derive(Clone, Debug, Default)]
pub(super) struct Truncated(Arc<AtomicU64>);

impl Truncated {
    /// Counts a text.
    pub(super) fn count(&self, text: Tokenized) -> Tokenized {
        self.0.fetch_add(u64::from(text.facts.truncated), Relaxed);
        text
    }
}

impl EncoderModel {
    /// The session that runs the encoder.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The length of a vector.
    pub(super) fn dimension(&self) -> Option<i64> {
        let first = *self.outputs.first()?;
        let (_, fact) = self.session.outputs().find(|(name, _)| *name == first)?;
        fact.shape.dims().last()?.as_fixed()
    }

    /// The same model with further options on which results depend, and a count of its own.
    pub(super) fn with_options(&self, options: &str) -> Self {
        let options = format!("{}, {options}", self.options);
        Self { options, truncated: Truncated::default(), ..self.clone() }
    }

    /// Appends the numbers of each head.
    fn append(&self, outputs: &Tensors, lists: &mut Vec<Vec<f32>>) -> Result<()> {
        for name in &*self.outputs {
            let numbers = outputs.get(name).ok_or_else(|| Error::internal(format!("the session gave no `{name}`")))?;
            lists.push(numbers.as_slice::<f32>()?.to_vec());
        }
        Ok(())
    }
}

impl Inference for EncoderModel {
    type Input = Tokenized;
    type Output = Vec<Vec<f32>>;

    fn infer(&self, chunk: &[&Tokenized], out: &mut Slots<'_, Vec<Vec<f32>>>) -> Result<()> {
        let runs: Vec<&Tensors> = chunk.iter().flat_map(|text| &text.runs).map(|run| &run.tensors).collect();
        let mut outputs = Vec::new();
        outputs.resize_with(runs.len(), || None);
        self.session.infer(&runs, &mut Slots::new(&mut outputs))?;
        let mut outputs = outputs.into_iter();
        for (index, text) in chunk.iter().enumerate() {
            let mut own = outputs.by_ref().take(text.runs.len());
            let mut lists = Vec::with_capacity(text.runs.len() * self.outputs.len());
            let read = own.by_ref().try_for_each(|output| {
                let output = output.unwrap_or_else(|| Err(Error::internal("the session gave a text no vector")));
                self.append(&output?, &mut lists)
            });
            // All of a text's outputs are taken, even behind one that failed.
            own.for_each(drop);
            match read {
                Ok(()) => out.set(index, lists),
                Err(error) => out.fail(index, error),
            }
        }
        Ok(())
    }

    fn cost(&self, input: &Tokenized) -> u64 {
        input.runs.iter().map(|run| self.session.cost(&run.tensors)).sum()
    }

    fn input_bytes(&self, input: &Tokenized) -> usize {
        let bytes = |run: &Run| self.session.input_bytes(&run.tensors) + size_of_val(run.pieces.as_slice());
        input.runs.iter().map(bytes).sum()
    }

    fn output_bytes(&self, output: &Vec<Vec<f32>>) -> usize {
        output.iter().map(|numbers| size_of_val(numbers.as_slice()) + size_of::<Vec<f32>>()).sum()
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
        Description { truncated: self.truncated.0.load(Relaxed), options, ..session }
    }
}

/// The numbers of a text that has one window.
pub(super) fn only(mut windows: Vec<Vec<f32>>) -> Result<Vec<f32>> {
    match (windows.pop(), windows.is_empty()) {
        (Some(numbers), true) => Ok(numbers),
        _ => Err(Error::internal("a text without its one window")),
    }
}
