//! A pipeline, and the jobs over it that need no settings of their own.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use crate::{
    bulk::{Bulk, Queue, Results},
    error::{ItemError, Result},
    inference::{Description, Inference, Pipeline},
};

/// The pipeline of a model, which clones share.
pub(crate) struct Jobs<T: ?Sized, M: Inference<Input: Sized>, R> {
    pipeline: Arc<Pipeline<T, M, R>>,
    /// Keeps its threads between jobs.
    bulk: Arc<Bulk<Pipeline<T, M, R>>>,
}

impl<T: ?Sized, M: Inference<Input: Sized>, R> Clone for Jobs<T, M, R> {
    fn clone(&self) -> Self {
        Self { pipeline: self.pipeline.clone(), bulk: self.bulk.clone() }
    }
}

impl<T: ?Sized + Sync + 'static, M: Inference<Input: Sized> + 'static, R: Send + 'static> Jobs<T, M, R> {
    pub(crate) fn new(pipeline: Pipeline<T, M, R>) -> Self {
        let pipeline = Arc::new(pipeline);
        Self { bulk: Arc::new(Bulk::pipeline(pipeline.clone())), pipeline }
    }

    pub(crate) fn pipeline(&self) -> Arc<Pipeline<T, M, R>> {
        self.pipeline.clone()
    }

    pub(crate) fn describe(&self) -> Description {
        self.pipeline.model().describe()
    }

    /// A job with settings of its own.
    pub(crate) fn bulk(&self) -> Bulk<Pipeline<T, M, R>> {
        Bulk::pipeline(self.pipeline())
    }

    /// The results of all items, or the error of the first one that failed.
    pub(crate) fn run<I: Borrow<T>>(&self, items: &[I]) -> Result<Vec<R>, ItemError> {
        let (results, _) = self.bulk.run(items);
        results.into_iter().collect()
    }

    pub(crate) fn map<It>(&self, items: It) -> Results<R, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<T> + Send + 'static>,
    {
        self.bulk.map(items)
    }

    pub(crate) fn queue<I: Borrow<T> + Send + 'static>(&self, longest_wait: Duration) -> Result<Queue<I, R>> {
        self.bulk.queue(longest_wait)
    }
}
