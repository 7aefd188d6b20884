//! The search for a chunk cost that neither caller nor model knows.

/// The duration of a chunk to aim at first, in nanoseconds.
const AIM_NS: f64 = 2e6;
/// The longest duration that growth may lead to, in nanoseconds; longer chunks delay cancelling and
/// the job's end.
pub(in crate::bulk) const MOST_NS: f64 = 100e6;
/// The factor of one step of growth.
const STEP: f64 = 4.0;
/// Chunks that a step is judged by.
const TRIALS: usize = 3;
/// Growth continues while the price of a cost unit falls to this fraction.
const PAYS: f64 = 0.95;

/// Searches for the cost of a chunk if neither caller nor model knows it.
///
/// Grows it first to the duration aimed at, then in steps while the price of a cost unit falls, as
/// it does if each call has a fixed overhead.
#[derive(Debug)]
pub(in crate::bulk) struct Growth {
    /// The longest duration that growth may lead to, in nanoseconds.
    pub(in crate::bulk) most_ns: f64,
    /// The chunk cost on trial; 0 before the first chunk.
    pub(in crate::bulk) level: f64,
    /// Whether the search has ended.
    pub(in crate::bulk) settled: bool,
    /// The price of a cost unit at the previous level, and that level.
    before: Option<(f64, f64)>,
    /// Nanoseconds, cost and number of the chunks at this level.
    ns: f64,
    cost: f64,
    chunks: usize,
    /// The lowest price of the chunks at this level: a chunk that was interrupted does not count.
    price: f64,
}

impl Default for Growth {
    fn default() -> Self {
        let none = 0.0;
        Self {
            most_ns: MOST_NS,
            level: none,
            settled: false,
            before: None,
            ns: none,
            cost: none,
            chunks: 0,
            price: none,
        }
    }
}

impl Growth {
    /// Records a chunk.
    pub(in crate::bulk) fn measured(&mut self, cost: f64, ns: f64) {
        // A chunk much below the level (a job's end, a slow source) is no measure of it.
        if cost < self.level / 2.0 {
            return;
        }
        let price = ns.max(1.0) / cost;
        self.price = if self.chunks == 0 { price } else { self.price.min(price) };
        self.ns += ns;
        self.cost += cost;
        self.chunks += 1;
        let mean_ns = self.ns / self.chunks as f64;
        if mean_ns < AIM_NS / 2.0 {
            // Far below the aim; but a first chunk is not extrapolated too far.
            let known = self.level.max(cost);
            self.move_to((AIM_NS / price).clamp(known, known * STEP));
            return;
        }
        // One item may exceed the level; a long one is no measure of the others.
        let known = if mean_ns * 2.0 > self.most_ns { AIM_NS / self.price } else { self.cost / self.chunks as f64 };
        self.level = self.level.max(known);
        if self.chunks < TRIALS {
            return;
        }
        let larger = self.level * STEP.min(self.most_ns / mean_ns);
        if mean_ns > self.most_ns {
            self.move_to((self.level / 2.0).max(1.0));
            self.settled = true;
        } else if self.settled {
            self.move_to(self.level);
        } else if let Some((_, level)) = self.before.filter(|(before, _)| self.price > before * PAYS) {
            self.move_to(level);
            self.settled = true;
        } else if larger < self.level * 1.5 {
            self.move_to(self.level);
            self.settled = true;
        } else {
            self.before = Some((self.price, self.level));
            self.move_to(larger);
        }
    }

    /// Starts a trial of `level`.
    fn move_to(&mut self, level: f64) {
        (self.level, self.ns, self.cost, self.chunks) = (level, 0.0, 0.0, 0);
    }
}
