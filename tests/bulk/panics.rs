//! Panics of user code: in hooks, in `drop`, in the model. Each stays with its item, and the pool goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gristmill::{
    Error, ErrorKind, Inference, Pipeline, Result, Slots, Stage,
    bulk::{self, Bulk, CancelToken, OnError},
    from_fn,
};

use crate::support::process::alone;

fn squares() -> impl Inference<Input = u64, Output = u64> + 'static {
    from_fn(|number: &u64| Ok(number * number))
}

/// Numbers as they are; says that each takes a MiB, and panics where it is to weigh some of them.
struct Weighed {
    bytes: fn(u64),
    cost: fn(u64),
}

impl Inference for Weighed {
    type Input = u64;
    type Output = u64;

    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        (0..chunk.len()).for_each(|place| out.set(place, *chunk[place]));
        Ok(())
    }
    fn input_bytes(&self, input: &u64) -> usize {
        (self.bytes)(*input);
        1 << 20
    }
    fn cost(&self, input: &u64) -> u64 {
        (self.cost)(*input);
        1
    }
}

#[test]
fn an_item_whose_bytes_cannot_be_told_fails_alone() {
    let bad = |number: u64| assert_ne!(number % 100, 33, "no bytes for {number}");
    let plain = || Bulk::new(Weighed { bytes: bad, cost: |_| {} }).workers(2);
    let check = |results: Vec<Result<u64, gristmill::ItemError>>| {
        assert_eq!(results.len(), 300);
        for (index, result) in results.iter().enumerate() {
            match result {
                Ok(number) => assert_eq!(*number, index as u64),
                Err(error) => {
                    assert_eq!((error.index, error.stage, error.source.kind()), (index, Stage::Read, ErrorKind::Panic));
                    assert!(error.to_string().contains(&format!("no bytes for {index}")), "{error}");
                }
            }
        }
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 3);
    };
    check(plain().map(0..300).collect());
    check(plain().run(&(0..300).collect::<Vec<u64>>()).0);
    assert_eq!(plain().on_error(OnError::Skip).map(0..300).count(), 297);
    let steps = Pipeline::new(squares()).prepare(|number: &u64| Ok(*number)).finish(|number, _| Ok(*number));
    let steps = steps.item_bytes(move |&number| {
        bad(number);
        8
    });
    check(Bulk::pipeline(steps).workers(2).map(0..300_u64).collect());
}

#[test]
fn items_whose_cost_cannot_be_told_leave_no_bytes_behind() {
    let bulk = Bulk::new(Weighed { bytes: |_| {}, cost: |number| assert!(number >= 60, "no cost") });
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let source = (0..400_u64).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    // Twenty items fit: the sixty that fail would fill it three times.
    let mut ahead = 0;
    for (index, result) in bulk.workers(2).memory_limit(20 << 20).map(source).enumerate() {
        assert_eq!(result.is_err(), index < 60);
        if index > 100 {
            ahead = ahead.max(pulled.load(SeqCst) - index);
        }
    }
    assert!(ahead >= 4, "at most {ahead} items at a time");
}

#[test]
fn a_panic_of_a_hook_is_an_error_too() {
    struct Hooks(AtomicBool);
    impl Inference for Hooks {
        type Input = u64;
        type Output = u64;
        fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
            (0..chunk.len()).for_each(|place| out.set(place, *chunk[place]));
            Ok(())
        }
        fn cost(&self, input: &u64) -> u64 {
            assert_ne!(*input, 11, "no cost");
            1
        }
        fn output_bytes(&self, output: &u64) -> usize {
            assert!(*output != 12 || self.0.swap(true, SeqCst), "no size");
            8
        }
    }
    let results: Vec<_> = bulk::map(Hooks(AtomicBool::new(false)), 0..20).collect();
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(failed.iter().map(|error| error.index).collect::<Vec<_>>(), [11, 12]);
    assert_eq!((failed[0].stage, failed[1].stage), (Stage::Prepare, Stage::Finish));
}

/// Panics when a worker drops it.
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        let worker = thread::current().name().is_some_and(|name| name.starts_with("mill-worker"));
        assert!(!worker, "dropped by a worker");
    }
}

/// A model that is as loud as what it takes and gives.
struct LoudModel(Loud);

impl Inference for LoudModel {
    type Input = Loud;
    type Output = Loud;

    fn infer(&self, chunk: &[&Loud], out: &mut Slots<'_, Loud>) -> Result<()> {
        let Self(Loud) = self;
        thread::sleep(Duration::from_millis(1));
        (0..chunk.len()).for_each(|place| out.set(place, Loud));
        if chunk.len() > 5 { Err(Error::new(ErrorKind::Limit, "too many")) } else { Ok(()) }
    }
}

#[test]
fn values_that_panic_when_they_are_dropped_take_nothing_along() {
    for ordered in [true, false] {
        for taken in [0, 1, 30, 200] {
            let bulk = Bulk::new(LoudModel(Loud)).workers(3).chunk_size(10);
            let items = (0..200).map(|_| Loud);
            if ordered {
                assert_eq!(bulk.map(items).take(taken).filter(Result::is_ok).count(), taken);
            } else {
                assert_eq!(bulk.map_unordered(items).take(taken).count(), taken);
            }
            let token = CancelToken::new();
            let cut_off = Bulk::new(LoudModel(Loud)).workers(3).chunk_size(10).cancel(token.clone());
            let mut results = cut_off.map((0..200).map(|_| Loud));
            drop(results.next());
            token.cancel();
            drop(results.next());
        }
    }
    // The pool is as good as before.
    thread::sleep(Duration::from_millis(50));
    assert_eq!(Bulk::new(squares()).workers(3).map(0..1000).filter(Result::is_ok).count(), 1000);
}

/// Of the test below, run by itself: panics that are caught here and there, and one that an item's error tells of.
#[inline(never)]
fn the_culprit() -> Result<()> {
    panic!("guilty")
}

#[inline(never)]
fn the_bystander() {
    panic!("caught by the model itself")
}

#[test]
fn the_error_of_a_panic_has_its_own_backtrace() {
    let name = "the_error_of_a_panic_has_its_own_backtrace";
    if !alone(module_path!(), name, &[("RUST_BACKTRACE", "1")]) {
        return;
    }
    let model = from_fn(|number: &u64| match number {
        0 => {
            let _ = std::panic::catch_unwind(the_bystander);
            Ok(())
        }
        // Without the hook, as what was caught on another thread goes on.
        1 => std::panic::resume_unwind(Box::new("from elsewhere")),
        2 => Ok(the_culprit()?),
        _ => Ok(()),
    });
    let results: Vec<_> = Bulk::new(model).workers(1).chunk_size(1).map(0..4_u64).collect();
    let said: Vec<_> =
        results.iter().map(|result| result.as_ref().map_or_else(ToString::to_string, |()| String::new())).collect();
    assert!(said[0].is_empty() && said[3].is_empty());
    assert!(said[1].contains("from elsewhere") && !said[1].contains("the_bystander"), "{}", said[1]);
    assert!(said[2].contains("guilty") && said[2].contains("the_culprit"), "{}", said[2]);
}
