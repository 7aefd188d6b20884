//! A model's wishes for scheduling.

/// A model's wishes for scheduling, as [`Inference::hints`](crate::Inference::hints) returns them.
///
/// Starts from [`Hints::default`] and is changed by its methods:
///
/// ```
/// use gristmill::Hints;
/// let hints = Hints::default().in_flight(2).preferred_chunk_cost(4096);
/// assert_eq!((hints.in_flight, hints.preferred_chunk_cost), (2, Some(4096)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hints {
    /// The cost of a chunk that keeps the working set in cache, `None` if unknown.
    ///
    /// In the unit of [`Inference::cost`](crate::Inference::cost): an adaptor with another unit
    /// resets it.
    pub preferred_chunk_cost: Option<u64>,
    /// The number of items in a job's first chunk, for a model that measures on it.
    ///
    /// Other chunks wait until the first has run. It is smaller where the memory limit, a fixed
    /// window or the source provides fewer items, and where the caller has fixed the chunk size. 1,
    /// the default, means no wish.
    pub first_chunk_items: usize,
    /// Bytes that a worker, or a driver, holds while it runs a chunk, as far as known; 0 by
    /// default.
    ///
    /// The chunk itself and the shared weights are not counted.
    pub scratch_bytes: usize,
    /// The number of chunks that the device should have in flight at once; 1 by default.
    ///
    /// A model with more than 1 is called from driver threads outside the pool. If it changes to 1
    /// after a chunk, the workers call it from then on.
    pub in_flight: usize,
}

impl Default for Hints {
    fn default() -> Self {
        Self { preferred_chunk_cost: None, first_chunk_items: 1, scratch_bytes: 0, in_flight: 1 }
    }
}

impl Hints {
    /// Sets [`preferred_chunk_cost`](Self::preferred_chunk_cost), to a cost or to `None`.
    #[must_use]
    pub fn preferred_chunk_cost(self, cost: impl Into<Option<u64>>) -> Self {
        Self { preferred_chunk_cost: cost.into(), ..self }
    }

    /// Sets [`first_chunk_items`](Self::first_chunk_items).
    #[must_use]
    pub fn first_chunk_items(self, items: usize) -> Self {
        Self { first_chunk_items: items, ..self }
    }

    /// Sets [`scratch_bytes`](Self::scratch_bytes).
    #[must_use]
    pub fn scratch_bytes(self, bytes: usize) -> Self {
        Self { scratch_bytes: bytes, ..self }
    }

    /// Sets [`in_flight`](Self::in_flight).
    #[must_use]
    pub fn in_flight(self, chunks: usize) -> Self {
        Self { in_flight: chunks, ..self }
    }
}
