//! A pipeline, and the jobs over it that need no settings of their own.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use crate::{
    bulk::{Bulk, Queue, Results},
    error::{ItemError, Result},
    inference::{Description, Inference, Pipeline},
    text::encoder_model::EncoderModel,
};

/// The pipeline of a text model, which clones share.
pub(super) struct Jobs<T: ?Sized, R> {
    pipeline: Arc<Pipeline<T, EncoderModel, R>>,
    /// Keeps its threads between jobs.
    bulk: Arc<Bulk<Pipeline<T, EncoderModel, R>>>,
}

impl<T: ?Sized, R> Clone for Jobs<T, R> {
    fn clone(&self) -> Self {
        Self { pipeline: self.pipeline.clone(), bulk: self.bulk.clone() }
    }
}

impl<T: ?Sized + Sync + 'static, R: Send + 'static> Jobs<T, R> {
    pub(super) fn new(pipeline: Pipeline<T, EncoderModel, R>) -> Self {
        let pipeline = Arc::new(pipeline);
        Self { bulk: Arc::new(Bulk::pipeline(pipeline.clone())), pipeline }
    }

    pub(super) fn pipeline(&self) -> Arc<Pipeline<T, EncoderModel, R>> {
        self.pipeline.clone()
    }

    pub(super) fn describe(&self) -> Description {
        self.pipeline.model().describe()
    }

    /// A job with settings of its own.
    pub(super) fn bulk(&self) -> Bulk<Pipeline<T, EncoderModel, R>> {
        Bulk::pipeline(self.pipeline())
    }

    /// The results of all items, or the error of the first one that failed.
    pub(super) fn run<I: Borrow<T>>(&self, items: &[I]) -> Result<Vec<R>, ItemError> {
        let (results, _) = self.bulk.run(items);
        results.into_iter().collect()
    }

    pub(super) fn map<It>(&self, items: It) -> Results<R, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<T> + Send + 'static>,
    {
        self.bulk.map(items)
    }

    pub(super) fn queue<I: Borrow<T> + Send + 'static>(&self, longest_wait: Duration) -> Result<Queue<I, R>> {
        self.bulk.queue(longest_wait)
    }
}
