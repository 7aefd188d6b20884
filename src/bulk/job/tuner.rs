//! Chunk sizes: chosen from the durations of a job's own chunks.

mod growth;
pub(in crate::bulk) mod mean;

use std::time::Duration;

use crate::{
    bulk::{
        job::{
            drivers,
            tuner::{
                growth::{Growth, MOST_NS},
                mean::Mean,
            },
        },
        settings::Settings,
    },
    inference::Inference,
    threads::panics,
};

/// The shortest chunk that is worth its handling, in nanoseconds.
const LEAST_NS: f64 = 1e6;
/// The largest window for drivers, whose chunks may have very many items.
const MOST_WINDOW: usize = 1 << 17;
/// The most items of a chunk that takes less than [`SHORT_NS`].
///
/// A larger one would leave the cache for memory fresh from the system, and its handling is cheap
/// already.
const SHORT_ITEMS: usize = 4096;
/// A chunk of [`SHORT_ITEMS`] that takes less than this many nanoseconds is not made any longer.
const SHORT_NS: f64 = 0.25e6;
/// Chunks for each worker that queued work is cut into, so that no worker idles at the end.
const CHUNKS_PER_WORKER: usize = 4;
/// Chooses chunk and window sizes.
#[derive(Debug)]
pub(in crate::bulk) struct Tuner {
    /// Threads that run chunks: workers or drivers.
    workers: usize,
    /// Whether drivers run the chunks.
    driven: bool,
    /// Items per chunk, if the caller fixed them.
    fixed: Option<usize>,
    /// The largest cost of a chunk, if the caller or the model set one.
    ceiling: Option<u64>,
    first: First,
    ns_per_cost: Mean,
    cost_per_item: Mean,
    growth: Growth,
    /// How many nanoseconds a chunk may take, while others want the workers.
    hurry: Option<f64>,
}

/// The first chunk of a job, if the model asks for a size.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    /// To be cut: that many items, up to a cost that the caller may have set.
    Due { items: usize, cost: u64 },
    /// Cut and not yet measured; the fields are those of `Due`, should it come back. No other chunk
    /// is cut meanwhile.
    UnderWay { items: usize, cost: u64 },
    /// Measured, or not asked for.
    Past,
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
            hurry: None,
        }
    }

    /// Limits the time of the chunks to come, while others want the workers.
    pub(in crate::bulk) fn hurry(&mut self, time: Option<Duration>) {
        self.hurry = time.map(|time| time.as_nanos() as f64);
    }

    /// A tuner for `model` under the caller's `settings`; chunks run on `workers`, or on the
    /// model's drivers.
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

    /// Reads the hints of `model` that may change with its first chunk.
    pub(in crate::bulk) fn ask(&mut self, model: &impl Inference, settings: &Settings, workers: usize) {
        // A model that panics here gets the defaults.
        let wishes = panics::catch(|| Ok((drivers::wanted(model), model.hints().preferred_chunk_cost)));
        let (drivers, preferred) = wishes.unwrap_or((0, None));
        self.workers = if drivers > 0 { drivers } else { workers };
        self.driven = drivers > 0;
        // The time of a chunk on a device includes waiting for the chunks that are in flight with
        // it.
        self.growth.most_ns = MOST_NS * drivers.max(1) as f64;
        self.ceiling = settings.max_chunk_cost.or(preferred).map(|cost| cost.max(1));
    }

    /// Chunks that can be in flight at once.
    pub(in crate::bulk) fn lanes(&self) -> usize {
        self.workers
    }

    /// Whether chunks must wait until the first one is measured.
    pub(in crate::bulk) fn holds_back(&self) -> bool {
        matches!(self.first, First::UnderWay { .. })
    }

    /// The fewest items that make a chunk while more can come.
    pub(in crate::bulk) fn least(&self) -> usize {
        match self.first {
            First::Due { items, .. } => items,
            _ => self.fixed.unwrap_or(1),
        }
    }

    /// Whether chunks are single items, however many wait: fixed by the caller, or found to be
    /// best.
    pub(in crate::bulk) fn is_single(&self) -> bool {
        let pair = self.item_cost() * 2.0;
        let known = self.cost_per_item.get().is_some();
        let capped = known && self.ceiling.is_some_and(|ceiling| (ceiling as f64) < pair);
        let settled = self.growth.settled && self.ceiling.is_none() && self.growth.level < pair;
        self.first == First::Past && (self.fixed == Some(1) || self.fixed.is_none() && (capped || settled))
    }

    /// The largest cost and number of items of the next chunk, while work of cost `queued` waits.
    pub(in crate::bulk) fn bounds(&self, queued: u64) -> (u64, usize) {
        match self.first {
            First::Due { items, cost } => (cost, items),
            _ => (self.target(queued), self.fixed.unwrap_or_else(|| self.most_items())),
        }
    }

    /// The most items of a chunk; fewer than a millisecond's worth if they are very cheap.
    fn most_items(&self) -> usize {
        if self.driven {
            return usize::MAX;
        }
        let item_ns = self.ns_per_cost.get().map(|rate| rate * self.item_cost());
        if item_ns.is_some_and(|ns| ns * (SHORT_ITEMS as f64) < SHORT_NS) { SHORT_ITEMS } else { usize::MAX }
    }

    /// Records that a chunk within the bounds was cut.
    pub(in crate::bulk) fn begun(&mut self) {
        if let First::Due { items, cost } = self.first {
            self.first = First::UnderWay { items, cost };
        }
    }

    /// Records that a chunk which was cut could not be run, and will be cut again.
    pub(in crate::bulk) fn came_back(&mut self) {
        if let First::UnderWay { items, cost } = self.first {
            self.first = First::Due { items, cost };
        }
    }

    /// Records a finished chunk.
    fn measured(&mut self, items: usize, cost: u64, took: Duration) {
        self.cost_per_item.add(cost as f64, items as f64);
        if self.holds_back() {
            // The model measured something besides running the chunk: its time is no measure.
            self.first = First::Past;
            return;
        }
        let ns = took.as_nanos() as f64;
        self.ns_per_cost.add(ns, cost as f64);
        self.growth.measured(cost as f64, ns);
    }

    /// Records a finished chunk and, if it was the first, reads the hints of `model` again; whether
    /// it was the first.
    pub(in crate::bulk) fn finished(
        &mut self,
        model: &impl Inference,
        settings: &Settings,
        workers: usize,
        items: usize,
        cost: u64,
        took: Duration,
    ) -> bool {
        let first = self.holds_back();
        self.measured(items, cost, took);
        if first {
            self.ask(model, settings, workers);
        }
        first
    }

    /// The cost of the next chunk, while work of cost `queued` waits.
    fn target(&self, queued: u64) -> u64 {
        if self.fixed.is_some() {
            return self.ceiling.unwrap_or(u64::MAX);
        }
        let share = queued / (CHUNKS_PER_WORKER * self.workers) as u64;
        let floor = self.ns_per_cost.get().map(|rate| (LEAST_NS / rate.max(1e-6)) as u64);
        // Single items while nothing is measured, so that they spread over the workers.
        let mut budget = self.ceiling.unwrap_or(self.growth.level as u64);
        if let Some(ns) = self.hurry.filter(|_| !self.driven) {
            budget = budget.min(self.ns_per_cost.get().map_or(1, |rate| (ns / rate.max(1e-6)) as u64));
        }
        share.max(floor.unwrap_or(1)).min(budget).max(1)
    }

    /// How many items may be in flight before the first result shows its size.
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
            // Few while nothing is measured: the first result in order is that of the window's
            // first item, whenever it runs.
            _ => chunks.max(self.least()),
        }
    }

    /// The expected duration of a chunk of `items`, in nanoseconds; `None` before the first
    /// measurement.
    pub(in crate::bulk) fn expected_ns(&self, items: usize) -> Option<f64> {
        Some(self.ns_per_cost.get()? * self.cost_per_item.get()? * items as f64)
    }

    /// The mean cost of an item so far.
    pub(in crate::bulk) fn item_cost(&self) -> f64 {
        self.cost_per_item.get().unwrap_or(1.0)
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
        // Each call has a price: 4 ms, and 200 ns for a unit. Two are in flight, so each takes
        // twice as long.
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
