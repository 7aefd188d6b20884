//! Whatever the chunks, workers, windows, limits and failures: the same results, in order, all of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use gristmill::{
    Error, Inference, Pipeline, Result, Slots, Stage,
    bulk::{Bulk, OnError},
};
use proptest::prelude::*;

/// What an item does on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Fine,
    Unread,
    Unprepared,
    PanicsPreparing,
    Fails,
    SpoilsItsChunk,
    PanicsRunning,
    LeavesItsSlot,
    Unfinished,
    PanicsFinishing,
}

impl Fate {
    fn stage(self) -> Option<Stage> {
        match self {
            Fate::Fine => None,
            Fate::Unread => Some(Stage::Read),
            Fate::Unprepared | Fate::PanicsPreparing => Some(Stage::Prepare),
            Fate::Unfinished | Fate::PanicsFinishing => Some(Stage::Finish),
            _ => Some(Stage::Run),
        }
    }
}

#[derive(Clone, Debug)]
struct Item {
    number: u64,
    cost: u64,
    fate: Fate,
}

struct Model;

impl Inference for Model {
    type Input = Item;
    type Output = u64;
    fn infer(&self, chunk: &[&Item], out: &mut Slots<'_, u64>) -> Result<()> {
        for (place, item) in chunk.iter().enumerate() {
            match item.fate {
                Fate::Fails => out.fail(place, Error::user("fails")),
                Fate::SpoilsItsChunk => return Err(Error::user("spoils")),
                Fate::PanicsRunning => panic!("panics"),
                Fate::LeavesItsSlot => {}
                _ => out.set(place, item.number * 3),
            }
        }
        if chunk.len().is_multiple_of(3) {
            thread::yield_now();
        }
        Ok(())
    }
    fn cost(&self, item: &Item) -> u64 {
        item.cost
    }
    fn input_bytes(&self, item: &Item) -> usize {
        item.cost as usize * 100
    }
    fn output_bytes(&self, output: &u64) -> usize {
        *output as usize % 1000
    }
}

fn pipeline() -> Pipeline<Item, Model, u64> {
    Pipeline::new(Model)
        .prepare(|item: &Item| match item.fate {
            Fate::Unprepared => Err(Error::user("unprepared")),
            Fate::PanicsPreparing => panic!("panics preparing"),
            _ => Ok(item.clone()),
        })
        .finish(|item, output| match item.fate {
            Fate::Unfinished => Err(Error::user("unfinished")),
            Fate::PanicsFinishing => panic!("panics finishing"),
            _ => Ok(output + 1),
        })
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let fate = prop_oneof![
        30 => Just(Fate::Fine),
        1 => Just(Fate::Unread),
        1 => Just(Fate::Unprepared),
        1 => Just(Fate::PanicsPreparing),
        1 => Just(Fate::Fails),
        1 => Just(Fate::SpoilsItsChunk),
        1 => Just(Fate::PanicsRunning),
        1 => Just(Fate::LeavesItsSlot),
        1 => Just(Fate::Unfinished),
        1 => Just(Fate::PanicsFinishing),
    ];
    let cost = prop_oneof![4 => 0..20_u64, 1 => 0..2000_u64];
    let item = (any::<u32>(), cost, fate).prop_map(|(number, cost, fate)| Item { number: number.into(), cost, fate });
    prop::collection::vec(item, 0..400)
}

#[derive(Clone, Debug)]
struct Choices {
    workers: usize,
    chunk: Option<usize>,
    cost: Option<u64>,
    window: Option<usize>,
    memory: Option<usize>,
    pause: usize,
}

fn choices() -> impl Strategy<Value = Choices> {
    (
        1..6_usize,
        prop::option::of(1..80_usize),
        prop::option::of(1..500_u64),
        prop::option::of(1..300_usize),
        prop::option::of(1..100_000_usize),
        0..100_usize,
    )
        .prop_map(|(workers, chunk, cost, window, memory, pause)| Choices {
            workers,
            chunk,
            cost,
            window,
            memory,
            pause,
        })
}

fn bulk(choices: &Choices) -> Bulk<Pipeline<Item, Model, u64>> {
    let mut bulk = Bulk::pipeline(pipeline()).workers(choices.workers);
    if let Some(items) = choices.chunk {
        bulk = bulk.chunk_size(items);
    }
    if let Some(cost) = choices.cost {
        bulk = bulk.max_chunk_cost(cost);
    }
    if let Some(items) = choices.window {
        bulk = bulk.window(items);
    }
    if let Some(bytes) = choices.memory {
        bulk = bulk.memory_limit(bytes);
    }
    bulk
}

/// The result that an item must have: its output, or the stage of its failure.
fn expected(item: &Item) -> Result<u64, Stage> {
    item.fate.stage().map_or(Ok(item.number * 3 + 1), Err)
}

fn read(item: Item) -> Result<Item> {
    if item.fate == Fate::Unread { Err(Error::user("unread")) } else { Ok(item) }
}

/// Ends the process, saying which job it was, if a job is still under way after a minute: a deadlock must not look like
/// a slow machine.
struct Watchdog {
    /// Gone with the job, which tells the dog.
    _done: mpsc::Sender<()>,
}

impl Watchdog {
    fn new(job: String) -> Self {
        let (done, told) = mpsc::channel();
        thread::spawn(move || {
            if told.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("no end after a minute: {job}");
                std::process::abort();
            }
        });
        Self { _done: done }
    }
}

/// Panics by the hundred are part of these tests; their messages are not.
fn be_quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !thread::current().name().is_some_and(|name| name.starts_with("mill-worker-")) {
                hook(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("GRISTMILL_FULL").is_some() { 2000 } else { 150 }))]

    #[test]
    fn ordered_results_are_the_items_own(items in items(), choices in choices()) {
        be_quiet();
        let _watchdog = Watchdog::new(format!("{choices:?} {items:?}"));
        let mut results = bulk(&choices).map_results(items.clone().into_iter().map(read));
        let mut count = 0;
        for (index, item) in items.iter().enumerate() {
            if choices.pause > 0 && index % choices.pause == 0 {
                thread::sleep(Duration::from_micros(50));
            }
            let result = results.next().expect("as many results as items");
            if let Err(error) = &result {
                prop_assert_eq!(error.index, index);
            }
            prop_assert_eq!(result.map_err(|error| error.stage), expected(item));
            count += 1;
        }
        prop_assert!(results.next().is_none());
        let report = results.report();
        prop_assert_eq!((report.items, report.errors), (count, items.iter().filter(|i| i.fate != Fate::Fine).count()));
    }

    #[test]
    fn borrowed_and_unordered_results_are_too(mut items in items(), choices in choices()) {
        be_quiet();
        let _watchdog = Watchdog::new(format!("{choices:?} {items:?}"));
        items.retain(|item| item.fate != Fate::Unread);
        let bulk = bulk(&choices);
        let (results, report) = bulk.run(&items);
        prop_assert_eq!(report.items, items.len());
        for (result, item) in results.into_iter().zip(&items) {
            prop_assert_eq!(result.map_err(|error| error.stage), expected(item));
        }
        let unordered: BTreeMap<_, _> = bulk.map_unordered(items.clone()).collect();
        prop_assert_eq!(unordered.len(), items.len());
        for ((index, result), item) in unordered.into_iter().zip(&items) {
            prop_assert_eq!(&result.map_err(|error| error.stage), &expected(item), "item {}", index);
        }
    }

    #[test]
    fn a_job_can_end_at_any_point(items in items(), choices in choices(), taken in 0..400_usize, errors in 0..5_usize) {
        be_quiet();
        let _watchdog = Watchdog::new(format!("{choices:?} {items:?}"));
        let bulk = bulk(&choices).on_error(OnError::Collect { max_errors: errors });
        let results: Vec<_> = bulk.map_results(items.clone().into_iter().map(read)).take(taken).collect();
        // All up to the error that was one too many.
        let ends = items.iter().enumerate().filter(|(_, item)| item.fate != Fate::Fine).nth(errors);
        let due = ends.map_or(items.len(), |(index, _)| index + 1).min(taken);
        prop_assert_eq!(results.len(), due);
        for (result, item) in results.into_iter().zip(&items) {
            prop_assert_eq!(result.map_err(|error| error.stage), expected(item));
        }
    }
}

/// A tenth of a long run: millions of tiny items, one in a hundred failing, a consumer that pauses now and then.
#[test]
fn a_long_run_loses_nothing_and_stays_small() {
    struct Tiny(Arc<AtomicUsize>);
    impl Inference for Tiny {
        type Input = u64;
        type Output = u64;
        fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
            self.0.fetch_add(chunk.len(), SeqCst);
            for (place, &&number) in chunk.iter().enumerate() {
                if mix(number).is_multiple_of(100) {
                    out.fail(place, Error::user("unlucky"));
                } else {
                    out.set(place, number ^ 1);
                }
            }
            Ok(())
        }
    }
    /// The finalizer of SplitMix64.
    fn mix(number: u64) -> u64 {
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    let count: u64 = if std::env::var_os("GRISTMILL_FULL").is_some() { 10_000_000 } else { 1_000_000 };
    let ran = Arc::new(AtomicUsize::new(0));
    let mut results = Bulk::new(Tiny(ran.clone())).workers(4).map(0..count);
    let (mut errors, mut next, mut farthest) = (0, 0_u64, 0);
    for result in results.by_ref() {
        match result {
            Ok(output) => assert_eq!(output, next ^ 1),
            Err(error) => {
                assert_eq!((error.index as u64, mix(next) % 100), (next, 0));
                errors += 1;
            }
        }
        if mix(next).is_multiple_of(20_011) {
            thread::sleep(Duration::from_millis(mix(next) % 7));
            farthest = farthest.max(ran.load(SeqCst) - next as usize);
        }
        next += 1;
    }
    assert_eq!((next, ran.load(SeqCst) as u64), (count, count));
    assert_eq!(errors, (0..count).filter(|&number| mix(number).is_multiple_of(100)).count());
    assert_eq!((results.report().items as u64, results.report().errors), (count, errors));
    // Flat memory: what is ahead of the consumer does not depend on how much there is in all. A few windows may be: one
    // being filled, those under way, and results that wait for an earlier chunk.
    assert!(farthest <= 8 * 16_384, "{farthest} items ahead");
}
