//! Whatever the chunks, workers, windows, limits and failures: the same results, in order, all of them.

use std::{collections::BTreeMap, thread, time::Duration};

use gristmill::{
    Error, Inference, Pipeline, Result, Slots, Stage,
    bulk::{Bulk, OnError},
};
use proptest::prelude::*;

use crate::support::watchdog::Watchdog;

const PATIENCE: Duration = Duration::from_secs(60);

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
            Fate::Unprepared => Err("unprepared".into()),
            Fate::PanicsPreparing => panic!("panics preparing"),
            _ => Ok(item.clone()),
        })
        .finish(|item, output| match item.fate {
            Fate::Unfinished => Err("unfinished".into()),
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
        let _watchdog = Watchdog::new(PATIENCE, format!("{choices:?} {items:?}"));
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
        let _watchdog = Watchdog::new(PATIENCE, format!("{choices:?} {items:?}"));
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
        let _watchdog = Watchdog::new(PATIENCE, format!("{choices:?} {items:?}"));
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
