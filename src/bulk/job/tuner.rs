//! How much goes into one call: chosen from what the job's own first chunks took.

use std::time::Duration;

use crate::{
    bulk::{job::drivers, settings::Settings},
    inference::Inference,
    threads::panics,
};

/// The least work that pays for the handling of a chunk.
const LEAST_NS: f64 = 1e6;
/// The work aimed at where nothing else is known.
const AIM_NS: f64 = 2e6;
/// The most work that growing may lead to; a longer chunk delays cancelling and the job's end.
const MOST_NS: f64 = 100e6;
/// How far a step of growing goes.
const STEP: f64 = 4.0;
/// Chunks to judge a step by.
const TRIALS: usize = 3;
/// Growing goes on while the cost unit gets cheaper by this much.
const PAYS: f64 = 0.95;
/// The most items that are sorted and cut together for drivers, whose chunks may be of very many.
const MOST_WINDOW: usize = 1 << 17;
/// Items of a chunk that takes less than [`SHORT_NS`]: a larger one would leave the cache for memory fresh from the system,
/// and its handling is little already.
const SHORT_ITEMS: usize = 4096;
/// Up to here a chunk of [`SHORT_ITEMS`] is not made any longer.
const SHORT_NS: f64 = 0.25e6;
/// Chunks for every worker in what is queued, so that nobody waits at the end.
pub(in crate::bulk) const CHUNKS_PER_WORKER: usize = 4;
/// A mean forgets by this much with every sample.
const DECAY: f64 = 0.8;

/// A mean that forgets old samples: a sum over a weight.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bulk) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    pub(in crate::bulk) fn add(&mut self, sum: f64, weight: f64) {
        self.sum = self.sum * DECAY + sum;
        self.weight = self.weight * DECAY + weight;
    }

    pub(in crate::bulk) fn get(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Chooses chunk costs.
#[derive(Debug)]
pub(in crate::bulk) struct Tuner {
    workers: usize,
    /// Whether it is drivers that run them.
    driven: bool,
    /// Items a chunk, if the caller fixed it.
    fixed: Option<usize>,
    /// The largest cost of a chunk, if the caller or the model knows it.
    ceiling: Option<u64>,
    first: First,
    ns_per_cost: Mean,
    cost_per_item: Mean,
    growth: Growth,
}

/// The first chunk of a job, where the model wishes its size.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    /// To be cut: so many items, up to a cost that the caller may have set.
    Due { items: usize, cost: u64 },
    /// Cut and not yet measured, with what is to be done should it come back. No other chunk is cut meanwhile.
    UnderWay { items: usize, cost: u64 },
    /// Measured, or not wished for.
    Past,
}

/// Looks for the cost of a chunk where nobody knows it: first up to the work aimed at, then on in steps while the
/// cost unit gets cheaper by it, as it does where each call has a price of its own.
#[derive(Debug)]
struct Growth {
    /// The most work that growing may lead to.
    most_ns: f64,
    /// The cost of a chunk that is on trial; 0 before the first chunk.
    level: f64,
    settled: bool,
    /// The price of a cost unit at the level before, and that level.
    before: Option<(f64, f64)>,
    /// Of the chunks at this level. The price is the best of them: a chunk that was interrupted is no measure.
    ns: f64,
    cost: f64,
    chunks: usize,
    price: f64,
}

impl Tuner {
    pub(in crate::bulk) fn new(workers: usize, fixed: Option<usize>, ceiling: Option<u64>) -> Self {
        Self {
            workers,
            driven: false,
            fixed: fixed.map(|items| items.max(1)),
            ceiling: ceiling.map(|cost| cost.max(1)),
            first: First::Past,
            ns_per_cost: Mean::default(),
            cost_per_item: Mean::default(),
            growth: Growth::default(),
        }
    }

    /// What `model` wishes, as far as `settings` leave it a choice, for chunks of which so many run at once as `workers`
    /// or the model's drivers can.
    pub(in crate::bulk) fn of(model: &impl Inference, settings: &Settings, workers: usize) -> Self {
        let items = model.hints().first_chunk_items;
        let wished = items > 1 && settings.chunk_size.is_none();
        let cost = settings.max_chunk_cost.unwrap_or(u64::MAX);
        let mut tuner = Self {
            first: if wished { First::Due { items, cost } } else { First::Past },
            ..Self::new(workers, settings.chunk_size, None)
        };
        tuner.ask(model, settings, workers);
        tuner
    }

    /// Asks for what `model` wishes besides its first chunk, which may have changed with that.
    pub(in crate::bulk) fn ask(&mut self, model: &impl Inference, settings: &Settings, workers: usize) {
        // Who panics here has no wishes.
        let wishes = panics::catch(|| Ok((drivers::wanted(model), model.hints().preferred_chunk_cost)));
        let (drivers, preferred) = wishes.unwrap_or((0, None));
        self.workers = if drivers > 0 { drivers } else { workers };
        self.driven = drivers > 0;
        // A chunk's time on a device holds its waiting for those that are under way with it.
        self.growth.most_ns = MOST_NS * drivers.max(1) as f64;
        self.ceiling = settings.max_chunk_cost.or(preferred).map(|cost| cost.max(1));
    }

    /// Chunks that can be under way at once.
    pub(in crate::bulk) fn lanes(&self) -> usize {
        self.workers
    }

    /// Whether chunks must wait until the first one has shown what it is to show.
    pub(in crate::bulk) fn holds_back(&self) -> bool {
        matches!(self.first, First::UnderWay { .. })
    }

    /// The least number of items that makes a chunk while more can come.
    pub(in crate::bulk) fn least(&self) -> usize {
        match self.first {
            First::Due { items, .. } => items,
            _ => self.fixed.unwrap_or(1),
        }
    }

    /// Whether single items are the chunks, however many wait: by the caller's choice, or because that has proved best.
    pub(in crate::bulk) fn is_single(&self) -> bool {
        let pair = self.item_cost() * 2.0;
        let known = self.cost_per_item.get().is_some();
        let capped = known && self.ceiling.is_some_and(|ceiling| (ceiling as f64) < pair);
        let settled = self.growth.settled && self.ceiling.is_none() && self.growth.level < pair;
        self.first == First::Past && (self.fixed == Some(1) || self.fixed.is_none() && (capped || settled))
    }

    /// The bounds of the next chunk, its cost and its items, while work of cost `queued` waits.
    pub(in crate::bulk) fn bounds(&self, queued: u64) -> (u64, usize) {
        match self.first {
            First::Due { items, cost } => (cost, items),
            _ => (self.target(queued), self.fixed.unwrap_or_else(|| self.most_items())),
        }
    }

    /// The most items of a chunk: of such as cost next to nothing it has fewer than a millisecond's worth.
    fn most_items(&self) -> usize {
        if self.driven {
            return usize::MAX;
        }
        let item_ns = self.ns_per_cost.get().map(|rate| rate * self.item_cost());
        if item_ns.is_some_and(|ns| ns * (SHORT_ITEMS as f64) < SHORT_NS) { SHORT_ITEMS } else { usize::MAX }
    }

    /// A chunk within the bounds is cut.
    pub(in crate::bulk) fn begun(&mut self) {
        if let First::Due { items, cost } = self.first {
            self.first = First::UnderWay { items, cost };
        }
    }

    /// A chunk that was cut has not been run, and will be cut again.
    pub(in crate::bulk) fn came_back(&mut self) {
        if let First::UnderWay { items, cost } = self.first {
            self.first = First::Due { items, cost };
        }
    }

    /// Takes note of a finished chunk.
    pub(in crate::bulk) fn measured(&mut self, items: usize, cost: u64, took: Duration) {
        self.cost_per_item.add(cost as f64, items as f64);
        if self.holds_back() {
            // What the model measured took longer than the chunk.
            self.first = First::Past;
            return;
        }
        let ns = took.as_nanos() as f64;
        self.ns_per_cost.add(ns, cost as f64);
        self.growth.measured(cost as f64, ns);
    }

    /// The cost of the next chunk, while work of cost `queued` waits.
    fn target(&self, queued: u64) -> u64 {
        if self.fixed.is_some() {
            return self.ceiling.unwrap_or(u64::MAX);
        }
        let share = queued / (CHUNKS_PER_WORKER * self.workers) as u64;
        let floor = self.ns_per_cost.get().map(|rate| (LEAST_NS / rate.max(1e-6)) as u64);
        // Single items while nothing is measured, so that they spread over the workers.
        let budget = self.ceiling.unwrap_or(self.growth.level as u64);
        share.max(floor.unwrap_or(1)).min(budget).max(1)
    }

    /// How many items may be in flight before the first result has shown its size.
    pub(in crate::bulk) fn first_items(&self) -> usize {
        self.workers.saturating_mul(self.fixed.unwrap_or(8)).max(self.least())
    }

    /// How many items to sort and cut together.
    pub(in crate::bulk) fn window(&self) -> usize {
        let chunks = (CHUNKS_PER_WORKER * self.workers).max(16);
        if let Some(items) = self.fixed {
            return items.saturating_mul(chunks);
        }
        let most = if self.driven { MOST_WINDOW } else { (4096 * self.workers).max(16_384) };
        let budget = self.ceiling.map(|cost| cost as f64).or((self.growth.level > 0.0).then_some(self.growth.level));
        match (budget, self.cost_per_item.get()) {
            (Some(budget), Some(cost)) => {
                let items = budget / cost.max(1.0) * chunks as f64;
                (items as usize).clamp(4 * chunks, most)
            }
            // Few while nothing is measured: the first result is that of the window's first item, whenever that is run.
            _ => chunks.max(self.least()),
        }
    }

    /// What a chunk of so many items should take, in nanoseconds, as far as anything is measured.
    pub(in crate::bulk) fn expected_ns(&self, items: usize) -> Option<f64> {
        Some(self.ns_per_cost.get()? * self.cost_per_item.get()? * items as f64)
    }

    /// The mean cost of an item so far.
    pub(in crate::bulk) fn item_cost(&self) -> f64 {
        self.cost_per_item.get().unwrap_or(1.0)
    }
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
    fn measured(&mut self, cost: f64, ns: f64) {
        // A chunk much below the level (a job's end, a slow source) says nothing about the level.
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
            // Far below the aim; but a first chunk is not believed too far.
            let known = self.level.max(cost);
            self.move_to((AIM_NS / price).clamp(known, known * STEP));
            return;
        }
        // One item may be above the level; a long one is no measure for the others.
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

    fn move_to(&mut self, level: f64) {
        (self.level, self.ns, self.cost, self.chunks) = (level, 0.0, 0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Result,
        inference::{Hints, Slots, from_fn},
    };

    /// Feeds a tuner with chunks of the size it asks for, priced by `time`, and says where it ends.
    fn settle(mut tuner: Tuner, time: impl Fn(u64) -> f64) -> u64 {
        for _ in 0..500 {
            let cost = tuner.target(u64::MAX / 2);
            tuner.measured(cost as usize, cost, Duration::from_nanos(time(cost) as u64));
        }
        tuner.target(u64::MAX / 2)
    }

    #[test]
    fn it_knows_that_single_items_are_the_chunks() {
        let singles = |mut tuner: Tuner, time: fn(u64) -> f64| {
            assert_eq!(tuner.is_single(), tuner.fixed == Some(1));
            for _ in 0..50 {
                let cost = tuner.bounds(u64::MAX / 2).0.min(10_000);
                tuner.measured(
                    cost.div_ceil(10) as usize,
                    cost.div_ceil(10) * 10,
                    Duration::from_nanos(time(cost) as u64),
                );
            }
            tuner.is_single()
        };
        // Items of cost 10.
        let slow = |cost| cost as f64 * 8e7;
        assert!(singles(Tuner::new(2, Some(1), None), slow));
        assert!(!singles(Tuner::new(2, Some(2), None), slow));
        assert!(singles(Tuner::new(2, None, Some(15)), |_| 1e3));
        assert!(!singles(Tuner::new(2, None, Some(25)), |_| 1e3));
        assert!(singles(Tuner::new(2, None, None), slow));
        // Each call has a price of its own: larger chunks pay.
        assert!(!singles(Tuner::new(2, None, None), |cost| 5e6 + cost as f64));
    }

    #[test]
    fn slow_items_go_alone_and_fast_ones_together() {
        assert_eq!(settle(Tuner::new(2, None, None), |cost| cost as f64 * 8e8), 1);
        let fast = settle(Tuner::new(2, None, None), |cost| cost as f64 * 100.0);
        assert!((10_000..=50_000).contains(&fast), "{fast}");
    }

    #[test]
    fn a_price_for_each_call_makes_chunks_grow() {
        let chunk = settle(Tuner::new(2, None, None), |cost| 5e6 + cost as f64 * 10_000.0);
        assert!(chunk >= 4000, "{chunk}");
        assert!(5e6 + chunk as f64 * 10_000.0 <= MOST_NS * 1.1, "{chunk}");
    }

    #[test]
    fn a_device_gets_chunks_of_up_to_a_tenth_of_a_second_as_long_as_they_pay() {
        let model = Driven(from_fn(|item: &u64| Ok(*item)));
        let tuner = || Tuner::of(&model, &Settings::default(), 16);
        assert_eq!((tuner().lanes(), tuner().window()), (2, 16));
        // Each call has a price: 4 ms, and 200 ns for a unit. Two are under way, so each takes twice as long.
        let chunk = settle(tuner(), |cost| 2.0 * (4e6 + cost as f64 * 200.0));
        let submit = 4e6 + chunk as f64 * 200.0;
        assert!((MOST_NS / 4.0..=MOST_NS * 1.1).contains(&submit), "{submit} ns for {chunk}");
        // Where a call costs next to nothing it stays short.
        let chunk = settle(tuner(), |cost| 2.0 * (1e4 + cost as f64 * 200.0));
        assert!(chunk as f64 * 200.0 < 10e6, "{chunk}");
        // Large chunks need large windows.
        let mut tuner = tuner();
        for _ in 0..100 {
            let cost = tuner.target(u64::MAX / 2);
            tuner.measured(cost as usize, cost, Duration::from_nanos(8_000_000 + cost * 20));
        }
        assert_eq!(tuner.window(), MOST_WINDOW);
        assert_eq!(tuner.bounds(1 << 40).1, usize::MAX);
    }

    /// Wants drivers.
    struct Driven<M>(M);

    impl<M: Inference> Inference for Driven<M> {
        type Input = M::Input;
        type Output = M::Output;
        fn infer(&self, chunk: &[&M::Input], out: &mut Slots<'_, M::Output>) -> Result<()> {
            self.0.infer(chunk, out)
        }
        fn hints(&self) -> Hints {
            Hints::default().in_flight(2)
        }
    }

    #[test]
    fn a_huge_item_does_not_make_large_chunks_of_the_small_ones() {
        let mut tuner = Tuner::new(2, None, None);
        // A second of work in one item, at the price of the small ones: a microsecond a cost unit.
        tuner.measured(1, 1_000_000, Duration::from_secs(1));
        let next = tuner.target(u64::MAX / 2);
        assert!((500..=8000).contains(&next), "{next}");
    }

    #[test]
    fn a_ceiling_holds_and_little_work_is_shared_out() {
        let tuner = Tuner::new(4, None, Some(100));
        assert_eq!(tuner.target(1_000_000), 100);
        assert_eq!(tuner.target(160), 10);
        assert_eq!(tuner.target(3), 1);
    }

    #[test]
    fn the_end_is_cut_finer_but_never_below_a_millisecond() {
        let mut tuner = Tuner::new(2, None, Some(1000));
        tuner.measured(10, 1000, Duration::from_millis(10));
        assert_eq!(tuner.target(100_000), 1000);
        assert_eq!(tuner.target(4000), 500);
        assert_eq!(tuner.target(8), 100);
    }

    #[test]
    fn a_first_chunk_that_is_wished_for_holds_the_others_back_and_is_no_measure() {
        let model = from_fn(|item: &u64| Ok(*item));
        assert_eq!(Tuner::of(&model, &Settings::default(), 2).bounds(1000), (1, usize::MAX));
        let model = Wishing(model);
        let mut tuner = Tuner::of(&model, &Settings::default(), 2);
        assert_eq!((tuner.bounds(1000), tuner.least(), tuner.holds_back()), ((u64::MAX, 40), 40, false));
        assert!(tuner.first_items() >= 40);
        tuner.begun();
        assert!(tuner.holds_back());
        tuner.came_back();
        assert_eq!((tuner.bounds(1000).1, tuner.holds_back()), (40, false));
        tuner.begun();
        tuner.measured(40, 40, Duration::from_secs(1));
        assert_eq!((tuner.bounds(1000), tuner.least(), tuner.holds_back()), ((1, usize::MAX), 1, false));
        // The caller's choices hold.
        let mut settings = Settings { max_chunk_cost: Some(7), ..Settings::default() };
        assert_eq!(Tuner::of(&model, &settings, 2).bounds(1000), (7, 40));
        settings.chunk_size = Some(3);
        assert_eq!(Tuner::of(&model, &settings, 2).bounds(1000), (7, 3));
    }

    /// Wishes for a first chunk.
    struct Wishing<M>(M);

    impl<M: Inference> Inference for Wishing<M> {
        type Input = M::Input;
        type Output = M::Output;
        fn infer(&self, chunk: &[&M::Input], out: &mut Slots<'_, M::Output>) -> Result<()> {
            self.0.infer(chunk, out)
        }
        fn hints(&self) -> Hints {
            Hints::default().first_chunk_items(40)
        }
    }

    #[test]
    fn items_that_cost_next_to_nothing_stay_in_cache() {
        let most = |ns: u64| {
            let mut tuner = Tuner::new(2, None, None);
            tuner.measured(1000, 3000, Duration::from_nanos(1000 * ns));
            tuner.bounds(1 << 40).1
        };
        assert_eq!((most(15), most(60), most(62)), (SHORT_ITEMS, SHORT_ITEMS, usize::MAX));
    }

    #[test]
    fn a_first_chunk_is_not_believed_too_far() {
        let mut tuner = Tuner::new(2, None, None);
        assert_eq!(tuner.target(1 << 40), 1);
        tuner.measured(1, 1, Duration::from_nanos(1));
        assert_eq!(tuner.target(1 << 40), 4);
    }
}
