//! The consumer's side of a deduplicated job: equal items get the result of the first.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    bulk::{
        job::{results::Numbered, running::Running},
        report::{Report, failures::Failures},
        settings::OnError,
    },
    error::{ItemError, Result, chain},
};

/// The items of a job that are equal to others.
pub(in crate::bulk) trait Equals<O>: Send + Sync {
    /// The result of an item: its own, or that of its equal; `None` if that one has none yet.
    ///
    /// `result` is that of the inner job, `Ok(None)` for an item that equals an earlier one.
    /// Results of equal items that were resolved before their first one are added to `ready`.
    fn resolve(
        &self,
        index: usize,
        result: Result<Option<O>, ItemError>,
        ready: &mut VecDeque<Numbered<O>>,
    ) -> Option<Result<O, ItemError>>;

    /// Drops the stored results: workers may hold the job for some time after its consumer is gone.
    fn clear(&self);
}

/// A job in which equal items run once.
pub(in crate::bulk) struct Distinct<O, It> {
    /// The inner job, in which first items run.
    inner: Running<Option<O>, It>,
    equals: Arc<dyn Equals<O>>,
    policy: OnError,
    /// Results of items whose equal was resolved after them.
    ready: VecDeque<Numbered<O>>,
    items: usize,
    errors: usize,
    first_error: Option<String>,
    failures: Failures,
    duplicates: usize,
    over: bool,
}

impl<O, It> Distinct<O, It> {
    pub(in crate::bulk) fn new(inner: Running<Option<O>, It>, equals: Arc<dyn Equals<O>>, policy: OnError) -> Self {
        Self {
            inner,
            equals,
            policy,
            ready: VecDeque::new(),
            items: 0,
            errors: 0,
            first_error: None,
            failures: Failures::default(),
            duplicates: 0,
            over: false,
        }
    }

    /// What the job did so far.
    pub(in crate::bulk) fn report(&self) -> Report {
        let mut report = self.inner.report();
        let first = self.first_error.as_deref().unwrap_or_default();
        report.recount(self.items, self.errors, first, first);
        report.details.failures = self.failures.clone();
        report.duplicates = self.duplicates;
        report
    }
}

impl<O, It> Drop for Distinct<O, It> {
    fn drop(&mut self) {
        self.equals.clear();
    }
}

impl<O, It: Iterator> Distinct<O, It> {
    /// The next result; waits for it.
    pub(in crate::bulk) fn next(&mut self) -> Option<Numbered<O>> {
        while !self.over {
            let (index, result) = match self.ready.pop_front() {
                Some(result) => result,
                None => {
                    let (index, result) = self.inner.next()?;
                    self.duplicates += usize::from(matches!(result, Ok(None)));
                    let Some(result) = self.equals.resolve(index, result, &mut self.ready) else { continue };
                    (index, result)
                }
            };
            self.items += 1;
            if let Err(error) = &result {
                self.errors += 1;
                self.failures.add(error.stage, &error.source);
                if self.first_error.is_none() {
                    self.first_error = Some(chain(error));
                }
                match self.policy {
                    OnError::Skip => continue,
                    OnError::FailFast => self.over = true,
                    OnError::Collect { max_errors } => self.over = self.errors > max_errors,
                }
            }
            if self.over {
                self.inner.stop();
            }
            return Some((index, result));
        }
        None
    }

    /// Bounds on the number of results to come.
    pub(in crate::bulk) fn size_hint(&self) -> (usize, Option<usize>) {
        if self.over { (0, Some(0)) } else { (0, self.inner.size_hint().1.map(|most| most + self.ready.len())) }
    }
}
