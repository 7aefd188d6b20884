//! A model with a step before it and a step after it.

use std::{fmt, mem::size_of_val};

use crate::{
    error::{AnyError, Context, Error, Result},
    inference::{Description, Hints, Inference, Slots},
    threads::panics,
};

type Prepare<T, I> = Box<dyn Fn(&T) -> Result<I> + Send + Sync>;
type Finish<I, O, R> = Box<dyn Fn(&I, O) -> Result<R> + Send + Sync>;
type Bytes<T> = Option<Box<dyn Fn(&T) -> usize + Send + Sync>>;

/// A model with a step before it, which makes its inputs, and a step after it.
///
/// `prepare` turns an item `&T` into the model's input; `finish` turns the model's output into a
/// result `R`. `?` converts any error in them.
///
/// Under [`Bulk::pipeline`](crate::bulk::Bulk::pipeline) the workers run both steps item by item,
/// each exactly once per item, and chunks are cut by the cost of the prepared inputs. As an
/// [`Inference`] of its own it runs all three steps in one call, a chunk at a time.
///
/// ```
/// use gristmill::{Pipeline, bulk::Bulk, from_fn};
/// let double = from_fn(|number: &f64| Ok(number * 2.0));
/// let pipeline = Pipeline::new(double)
///     .prepare(|text: &str| Ok(text.parse::<f64>()?))
///     .finish(|_number, doubled| Ok(doubled.to_string()));
/// let texts: Vec<_> = Bulk::pipeline(pipeline).map(["1.5", "x"]).collect();
/// assert_eq!(texts[0].as_ref().unwrap(), "3");
/// assert_eq!(texts[1].as_ref().unwrap_err().stage, gristmill::Stage::Prepare);
/// ```
pub struct Pipeline<T: ?Sized, M: Inference<Input: Sized>, R> {
    model: M,
    prepare: Prepare<T, M::Input>,
    finish: Finish<M::Input, M::Output, R>,
    item_bytes: Bytes<T>,
    result_bytes: Bytes<R>,
    /// Used without `result_bytes`.
    usual_result_bytes: fn(&M, &R) -> usize,
}

/// A pipeline without its first step, made by [`Pipeline::new`].
pub struct PipelineBuilder<M>(M);

impl<M: Inference<Input: Sized>> Pipeline<M::Input, M, M::Output> {
    /// Starts a pipeline around `model`; [`PipelineBuilder::prepare`] completes it.
    #[expect(clippy::new_ret_no_self, reason = "`prepare` decides the item type")]
    pub fn new(model: M) -> PipelineBuilder<M> {
        PipelineBuilder(model)
    }
}

impl<M: Inference<Input: Sized>> PipelineBuilder<M> {
    /// Sets the step that turns an item into the model's input.
    pub fn prepare<T: ?Sized>(
        self,
        prepare: impl Fn(&T) -> Result<M::Input, AnyError> + Send + Sync + 'static,
    ) -> Pipeline<T, M, M::Output> {
        Pipeline {
            model: self.0,
            prepare: Box::new(move |item| prepare(item).map_err(Error::of_closure)),
            finish: Box::new(|_, output| Ok(output)),
            item_bytes: None,
            result_bytes: None,
            usual_result_bytes: M::output_bytes,
        }
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R> Pipeline<T, M, R> {
    /// Sets the step that turns the model's output into the result; it also gets the prepared
    /// input.
    pub fn finish<R2>(
        self,
        finish: impl Fn(&M::Input, M::Output) -> Result<R2, AnyError> + Send + Sync + 'static,
    ) -> Pipeline<T, M, R2> {
        Pipeline {
            model: self.model,
            prepare: self.prepare,
            finish: Box::new(move |input, output| finish(input, output).map_err(Error::of_closure)),
            item_bytes: self.item_bytes,
            result_bytes: None,
            usual_result_bytes: |_, result| size_of_val(result),
        }
    }

    /// Sets a function for the bytes that an unprepared item holds.
    ///
    /// The default is the item's own size, without the memory it points to.
    #[must_use]
    pub fn item_bytes(mut self, bytes: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        self.item_bytes = Some(Box::new(bytes));
        self
    }

    /// Sets a function for the bytes that a result holds until the consumer takes it.
    ///
    /// The default is the model's [`output_bytes`](Inference::output_bytes) or, after a `finish`,
    /// the result's own size, without the memory it points to.
    #[must_use]
    pub fn result_bytes(mut self, bytes: impl Fn(&R) -> usize + Send + Sync + 'static) -> Self {
        self.result_bytes = Some(Box::new(bytes));
        self
    }

    /// The model inside.
    pub fn model(&self) -> &M {
        &self.model
    }

    pub(crate) fn prepare_item(&self, item: &T) -> Result<M::Input> {
        (self.prepare)(item)
    }

    pub(crate) fn finish_item(&self, input: &M::Input, output: M::Output) -> Result<R> {
        (self.finish)(input, output)
    }

    pub(crate) fn bytes_of_item(&self, item: &T) -> usize {
        self.item_bytes.as_ref().map_or_else(|| size_of_val(item), |bytes| bytes(item))
    }

    pub(crate) fn bytes_of_result(&self, result: &R) -> usize {
        match &self.result_bytes {
            Some(bytes) => bytes(result),
            None => (self.usual_result_bytes)(&self.model, result),
        }
    }
}

/// The cost of an item is its size in bytes, because the cost of the prepared input is not known
/// yet.
impl<T: Send + ?Sized, M: Inference<Input: Sized>, R: Send> Inference for Pipeline<T, M, R> {
    type Input = T;
    type Output = R;

    fn infer(&self, chunk: &[&T], out: &mut Slots<'_, R>) -> Result<()> {
        let mut places = Vec::with_capacity(chunk.len());
        let mut prepared = Vec::with_capacity(chunk.len());
        for (place, item) in chunk.iter().enumerate() {
            match panics::catch(|| self.prepare_item(item)).context(|| "preparing".into()) {
                Ok(input) => {
                    places.push(place);
                    prepared.push(input);
                }
                Err(error) => out.fail(place, error),
            }
        }
        let inputs: Vec<&M::Input> = prepared.iter().collect();
        let mut outputs = Vec::new();
        outputs.resize_with(inputs.len(), || None);
        self.model.infer(&inputs, &mut Slots::new(&mut outputs))?;
        for ((place, input), output) in places.into_iter().zip(inputs).zip(outputs) {
            match output {
                Some(Ok(output)) => {
                    match panics::catch(|| self.finish_item(input, output)).context(|| "finishing".into()) {
                        Ok(result) => out.set(place, result),
                        Err(error) => out.fail(place, error),
                    }
                }
                Some(Err(error)) => out.fail(place, error),
                None => {}
            }
        }
        Ok(())
    }

    fn cost(&self, item: &T) -> u64 {
        self.bytes_of_item(item) as u64
    }

    fn input_bytes(&self, item: &T) -> usize {
        self.bytes_of_item(item)
    }

    fn output_bytes(&self, result: &R) -> usize {
        self.bytes_of_result(result)
    }

    fn hints(&self) -> Hints {
        // The model's preference is in the unit of prepared inputs.
        Hints { preferred_chunk_cost: None, ..self.model.hints() }
    }

    fn ready_here(&self) -> bool {
        self.model.ready_here()
    }

    fn describe(&self) -> Description {
        self.model.describe()
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R> fmt::Debug for Pipeline<T, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for PipelineBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineBuilder").finish_non_exhaustive()
    }
}
