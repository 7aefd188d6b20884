//! The bytes that a job or a queue holds, and the limit on them.

use crate::bulk::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the bytes in flight (items, entries, results not yet taken) against a limit.
///
/// Counters are relaxed atomics: a reader may see a count that is a moment old, which at worst
/// delays or admits one item.
#[derive(Debug)]
pub(in crate::bulk) struct Ledger {
    limit: usize,
    in_flight: AtomicUsize,
    /// Bytes that all workers or drivers hold to run chunks, as far as the model reports them.
    scratch: AtomicUsize,
}

impl Ledger {
    pub(in crate::bulk) fn new(limit: usize) -> Self {
        Self { limit, in_flight: AtomicUsize::new(0), scratch: AtomicUsize::new(0) }
    }

    pub(in crate::bulk) fn set_scratch(&self, bytes: usize) {
        self.scratch.store(bytes, Relaxed);
    }

    /// Bytes that may be in flight.
    ///
    /// That is what scratch leaves of the limit, but at least half of the limit: scratch is held
    /// already, and starving the workers would not free it.
    pub(in crate::bulk) fn limit(&self) -> usize {
        self.limit - self.scratch.load(Relaxed).min(self.limit / 2)
    }

    pub(in crate::bulk) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(in crate::bulk) fn add(&self, bytes: usize) {
        self.in_flight.fetch_add(bytes, Relaxed);
    }

    pub(in crate::bulk) fn remove(&self, bytes: usize) {
        self.in_flight.fetch_sub(bytes, Relaxed);
    }

    /// Replaces `old` bytes by the `new` ones of what was made of them; whether that exceeds the
    /// limit.
    pub(in crate::bulk) fn replace(&self, old: usize, new: usize) -> bool {
        let before = self.in_flight.fetch_add(new, Relaxed);
        self.in_flight.fetch_sub(old, Relaxed);
        before.saturating_add(new) > self.limit()
    }

    /// How many items of `each` bytes fit, if what is in flight grows by `expected` bytes; 0 if
    /// `held` bytes do not.
    pub(in crate::bulk) fn fitting(&self, expected: f64, held: usize, each: f64) -> usize {
        let free = self.limit() as f64 - expected - self.in_flight() as f64;
        if free < held as f64 { 0 } else { (free / each.max(1.0)) as usize }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn scratch_takes_at_most_half_of_the_limit() {
        let ledger = Ledger::new(100);
        ledger.set_scratch(30);
        assert_eq!(ledger.limit(), 70);
        ledger.set_scratch(1000);
        assert_eq!(ledger.limit(), 50);
    }

    #[test]
    fn what_fits_depends_on_what_is_in_flight_and_expected() {
        let ledger = Ledger::new(100);
        ledger.add(20);
        assert_eq!((ledger.fitting(40.0, 0, 10.0), ledger.fitting(40.0, 41, 10.0)), (4, 0));
        assert_eq!((ledger.fitting(81.0, 0, 10.0), ledger.fitting(0.0, 0, 0.0)), (0, 80));
        assert!(!ledger.replace(20, 30) && ledger.replace(30, 71));
        ledger.remove(71);
        assert_eq!(ledger.in_flight(), 0);
    }
}
