//! Bulk jobs end to end: order, counts, failures, laziness, memory, the report.

use std::{
    collections::{HashMap, HashSet},
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use gristmill::{
    Error, ErrorKind, Hints, Inference, Pipeline, Result, Slots, Stage,
    bulk::{self, Bulk, CancelToken, OnError},
    from_fn,
};

/// Squares numbers, chunk by chunk; its costs, failures and panics are chosen by the test.
struct Squares {
    cost: fn(u64) -> u64,
    fault: fn(u64) -> Fault,
    /// The chunks that were run, as their inputs.
    chunks: Mutex<Vec<Vec<u64>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Item,
    Chunk,
    Panic,
    Empty,
}

impl Squares {
    fn new() -> Self {
        Self { cost: |_| 1, fault: |_| Fault::None, chunks: Mutex::new(Vec::new()) }
    }

    fn faulty(fault: fn(u64) -> Fault) -> Self {
        Self { fault, ..Self::new() }
    }
}

impl Inference for Squares {
    type Input = u64;
    type Output = u64;

    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        self.chunks.lock().unwrap().push(chunk.iter().map(|&&number| number).collect());
        for (place, &&number) in chunk.iter().enumerate() {
            match (self.fault)(number) {
                Fault::None => out.set(place, number * number),
                Fault::Item => out.fail(place, Error::invalid_input(format!("{number} is bad"))),
                Fault::Chunk => return Err(Error::invalid_input(format!("{number} spoils the chunk"))),
                Fault::Panic => panic!("{number} makes it panic"),
                Fault::Empty => {}
            }
        }
        Ok(())
    }

    fn cost(&self, input: &u64) -> u64 {
        (self.cost)(*input)
    }
}

fn squares(count: u64) -> Vec<u64> {
    (0..count).map(|number| number * number).collect()
}

#[test]
fn results_come_in_order_whatever_the_chunks() {
    for (workers, chunk, count) in [(1, 1, 50), (2, 7, 1000), (8, 64, 5000), (3, 5000, 100)] {
        let bulk = Bulk::new(Squares::new()).workers(workers).chunk_size(chunk);
        let results: Vec<u64> = bulk.map(0..count).map(Result::unwrap).collect();
        assert_eq!(results, squares(count), "{workers} workers, chunks of {chunk}");
    }
    assert_eq!(bulk::map(Squares::new(), 0..100_000).map(Result::unwrap).collect::<Vec<_>>(), squares(100_000));
    assert_eq!(bulk::map(Squares::new(), iter::empty::<u64>()).count(), 0);
}

#[test]
fn costly_items_come_together_and_results_still_come_in_order() {
    let model = Arc::new(Squares { cost: |number| number % 10 * 100 + 1, ..Squares::new() });
    let bulk = Bulk::new(model.clone()).workers(2).max_chunk_cost(2000).window(200);
    assert_eq!(bulk.map(0..1000).map(Result::unwrap).collect::<Vec<_>>(), squares(1000));
    let chunks = model.chunks.lock().unwrap();
    let cost = |number: &u64| (model.cost)(*number);
    let alike = chunks.iter().filter(|chunk| chunk.iter().map(cost).max() == chunk.iter().map(cost).min()).count();
    assert!(alike * 2 > chunks.len(), "{alike} of {} chunks hold items of one cost", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk.len() == 1 || chunk.iter().map(cost).sum::<u64>() <= 2000));
}

#[test]
fn an_item_over_the_budget_goes_alone() {
    let model = Arc::new(Squares { cost: |number| if number == 17 { 1000 } else { 1 }, ..Squares::new() });
    let bulk = Bulk::new(model.clone()).workers(2).max_chunk_cost(10);
    assert_eq!(bulk.map(0..100).map(Result::unwrap).collect::<Vec<_>>(), squares(100));
    let chunks = model.chunks.lock().unwrap();
    assert!(chunks.contains(&vec![17]));
    assert!(chunks.iter().all(|chunk| chunk.len() <= 10));
}

#[test]
fn a_fixed_chunk_size_is_kept() {
    let model = Arc::new(Squares::new());
    let bulk = Bulk::new(model.clone()).workers(2).chunk_size(7);
    let mut results = bulk.map(0..1000);
    assert_eq!(results.by_ref().count(), 1000);
    let report = results.report();
    let short = model.chunks.lock().unwrap().iter().filter(|chunk| chunk.len() < 7).count();
    assert!(short <= 1, "{short} chunks are short");
    assert_eq!((report.chunks, report.chunk_items.max), (143, 7));
}

#[test]
fn borrowed_items_are_run_where_they_are() {
    // Neither `Clone` nor `'static`.
    struct Name<'a>(&'a str);
    let text = String::from("a bc def");
    let names: Vec<Name<'_>> = text.split(' ').map(Name).collect();
    let bulk = Bulk::new(from_fn(|name: &Name<'_>| Ok(name.0.len())));
    let (lengths, report) = bulk.run(&names);
    assert_eq!(lengths.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((report.items, report.errors), (3, 0));
    // Owned strings for a model of `str`.
    let bulk = Bulk::new(from_fn(|text: &str| Ok(text.len())));
    assert_eq!(bulk.run(&["x".to_owned()]).0[0].as_ref().unwrap(), &1);
    assert_eq!(bulk.run::<String>(&[]).0.len(), 0);
}

#[test]
fn a_failure_is_its_items_alone() {
    for workers in [1, 4] {
        for fault in [Fault::Item, Fault::Chunk, Fault::Panic, Fault::Empty] {
            let fault: fn(u64) -> Fault = match fault {
                Fault::Item => |number| if number % 100 == 33 { Fault::Item } else { Fault::None },
                Fault::Chunk => |number| if number % 100 == 33 { Fault::Chunk } else { Fault::None },
                Fault::Panic => |number| if number % 100 == 33 { Fault::Panic } else { Fault::None },
                _ => |number| if number % 100 == 33 { Fault::Empty } else { Fault::None },
            };
            let bulk = Bulk::new(Squares::faulty(fault)).workers(workers).chunk_size(30);
            let mut results = bulk.map(0..1000_u64);
            for (index, result) in results.by_ref().enumerate() {
                match result {
                    Ok(square) => assert_eq!(square, (index * index) as u64),
                    Err(error) => {
                        assert_eq!((error.index, error.index % 100, error.stage), (index, 33, Stage::Run));
                        let said = error.to_string();
                        match fault(33) {
                            Fault::Empty => assert!(said.contains("empty"), "{said}"),
                            Fault::Panic => {
                                assert_eq!(error.source.kind(), ErrorKind::Panic);
                                assert!(said.contains(&format!("{index} makes it panic")), "{said}");
                            }
                            _ => assert!(said.contains(&index.to_string()), "{said}"),
                        }
                    }
                }
            }
            let report = results.report();
            assert_eq!((report.items, report.errors), (1000, 10));
            // The pool is as good as before.
            assert_eq!(bulk.map(0..10).filter(Result::is_ok).count(), 10);
        }
    }
}

#[test]
fn the_stages_of_a_pipeline_run_once_an_item_and_name_their_failures() {
    let (prepared, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count_prepared, count_finished) = (prepared.clone(), finished.clone());
    let pipeline = Pipeline::new(Squares::faulty(|number| if number == 5 { Fault::Chunk } else { Fault::None }))
        .prepare(move |text: &str| {
            count_prepared.fetch_add(1, SeqCst);
            assert_ne!(text, "4", "four is unlucky");
            Ok(text.parse::<u64>()?)
        })
        .finish(move |number, square| {
            count_finished.fetch_add(1, SeqCst);
            match number {
                6 => Err("six is not finished".into()),
                7 => panic!("seven panics"),
                _ => Ok(square.to_string()),
            }
        });
    let items: Vec<String> = (0..200).map(|number| if number == 3 { "x".into() } else { number.to_string() }).collect();
    let bulk = Bulk::pipeline(pipeline).workers(3);
    let stages = |index| match index {
        3 | 4 => Some(Stage::Prepare),
        5 => Some(Stage::Run),
        6 | 7 => Some(Stage::Finish),
        _ => None,
    };
    for round in 1..=2 {
        let results = if round == 1 { bulk.map(items.clone()).collect() } else { bulk.run(&items).0 };
        assert_eq!(results.len(), 200);
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(square) => assert_eq!((square, None), ((index * index).to_string(), stages(index))),
                Err(error) => assert_eq!((error.index, Some(error.stage)), (index, stages(index)), "{error}"),
            }
        }
        assert_eq!((prepared.load(SeqCst), finished.load(SeqCst)), (200 * round, 197 * round));
    }
    // The cause is the caller's own.
    let error = bulk.map(["x"]).next().unwrap().unwrap_err();
    assert!(error.source.downcast_ref::<std::num::ParseIntError>().is_some());
}

#[test]
fn a_pipeline_is_a_model_too() {
    let pipeline = Pipeline::new(Squares::faulty(|number| if number == 5 { Fault::Item } else { Fault::None }))
        .prepare(|text: &str| Ok(text.parse::<u64>()?))
        .finish(|number, square| Ok(format!("{number}:{square}")));
    let results: Vec<_> = bulk::map(pipeline, ["2", "x", "5", "6"]).collect();
    assert_eq!(results[0].as_ref().unwrap(), "2:4");
    assert!(results[1].as_ref().unwrap_err().to_string().contains("preparing"));
    assert!(results[2].as_ref().unwrap_err().to_string().contains("5 is bad"));
    assert_eq!(results[3].as_ref().unwrap(), "6:36");
}

#[test]
fn nothing_is_pulled_before_it_is_asked_for_and_an_endless_source_is_fine() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let source = (0_u64..).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    let bulk = Bulk::new(Squares::new()).workers(2).window(100);
    let mut results = bulk.map(source);
    assert_eq!(pulled.load(SeqCst), 0);
    assert_eq!(results.by_ref().take(5000).map(Result::unwrap).collect::<Vec<_>>(), squares(5000));
    let ahead = pulled.load(SeqCst) - 5000;
    assert!(ahead <= 400, "{ahead} items ahead");
    drop(results);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(pulled.load(SeqCst), 5000 + ahead);
}

#[test]
fn dropping_the_iterator_stops_the_work() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let bulk = Bulk::new(from_fn(move |_: &u64| {
        count.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(5));
        Ok(())
    }));
    let mut results = bulk.workers(2).map(0..10_000);
    results.next().unwrap().unwrap();
    drop(results);
    let after_drop = ran.load(SeqCst);
    thread::sleep(Duration::from_millis(100));
    // Only chunks that were running are run to their end.
    assert!(ran.load(SeqCst) <= after_drop + 4, "{} after {after_drop}", ran.load(SeqCst));
}

#[test]
fn errors_of_the_source_have_their_index() {
    let source = (0..100_u64).map(|number| match number {
        7 => Err(std::io::Error::other("the disk is gone")),
        _ => Ok(number),
    });
    let results: Vec<_> = Bulk::new(Squares::new()).map_results(source).collect();
    assert_eq!(results.len(), 100);
    let error = results[7].as_ref().unwrap_err();
    assert_eq!((error.index, error.stage, error.source.kind()), (7, Stage::Read, ErrorKind::Io));
    assert!(error.source.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 99);
}

#[test]
fn a_source_that_panics_ends_the_job_with_an_error_at_its_place() {
    let source = (0..100_u64).inspect(|&number| assert!(number < 60, "the source breaks"));
    let results: Vec<_> = Bulk::new(Squares::new()).map(source).collect();
    assert_eq!(results.len(), 61);
    let error = results[60].as_ref().unwrap_err();
    assert_eq!((error.index, error.stage, error.source.kind()), (60, Stage::Read, ErrorKind::Panic));
    assert!(results[..60].iter().all(Result::is_ok));
}

#[test]
fn the_error_policies_differ_as_they_say() {
    let bulk =
        || Bulk::new(Squares::faulty(|number| if number % 10 == 9 { Fault::Item } else { Fault::None })).workers(2);
    let mut skipped = bulk().on_error(OnError::Skip).map(0..100);
    assert_eq!(skipped.by_ref().map(Result::unwrap).collect::<Vec<_>>().len(), 90);
    assert_eq!((skipped.report().items, skipped.report().errors), (100, 10));

    let first = bulk().on_error(OnError::FailFast).map(0..100).collect::<Vec<_>>();
    assert_eq!((first.len(), first[9].as_ref().unwrap_err().index), (10, 9));

    let few = bulk().on_error(OnError::Collect { max_errors: 2 }).map(0..100).collect::<Vec<_>>();
    assert_eq!((few.len(), few.iter().filter(|result| result.is_err()).count()), (30, 3));

    let items: Vec<u64> = (0..100).collect();
    let (results, report) = bulk().on_error(OnError::FailFast).run(&items);
    assert_eq!((results.len(), report.items, report.errors), (100, 10, 1));
    let kinds: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).map(|e| e.source.kind()).collect();
    assert_eq!((kinds.len(), kinds[0], kinds[1]), (91, ErrorKind::InvalidInput, ErrorKind::Cancelled));
    assert_eq!(bulk().on_error(OnError::Skip).run(&items).0.len(), 100);
}

#[test]
fn the_order_of_completion_has_every_index_once() {
    let bulk = Bulk::new(Squares::faulty(|number| if number == 400 { Fault::Panic } else { Fault::None })).workers(4);
    let mut seen = HashSet::new();
    for (index, result) in bulk.map_unordered(0..5000) {
        assert!(seen.insert(index));
        match result {
            Ok(square) => assert_eq!(square, (index * index) as u64),
            Err(error) => assert_eq!((index, error.index), (400, 400)),
        }
    }
    assert_eq!(seen.len(), 5000);
    // What is quick overtakes what is slow.
    let bulk = Bulk::new(from_fn(|&number: &u64| {
        thread::sleep(Duration::from_millis(if number == 0 { 200 } else { 1 }));
        Ok(())
    }));
    let order: Vec<usize> = bulk.workers(2).map_unordered(0..20).map(|(index, _)| index).collect();
    assert_eq!(order.last(), Some(&0));
}

#[test]
fn a_cancelled_job_hands_back_what_is_done() {
    let token = CancelToken::new();
    let bulk = Bulk::new(from_fn(|&number: &u64| {
        thread::sleep(Duration::from_millis(2));
        Ok(number)
    }));
    let bulk = bulk.workers(2).cancel(token.clone());
    let mut results = bulk.map(0..);
    let mut indices = 0..;
    for result in results.by_ref() {
        let index = indices.next().unwrap();
        match result {
            Ok(number) => assert_eq!(number, index),
            Err(error) => {
                assert!(token.is_cancelled());
                assert_eq!((error.index as u64, error.source.kind()), (index, ErrorKind::Cancelled));
            }
        }
        if index == 20 {
            token.cancel();
        }
    }
    let report = results.report();
    assert!(report.notes.iter().any(|note| note.contains("cancelled")), "{:?}", report.notes);
    assert!(report.items >= 21 && report.items < 10_000);
}

#[test]
fn a_deadline_ends_a_job() {
    let bulk = Bulk::new(from_fn(|_: &u64| {
        thread::sleep(Duration::from_millis(1));
        Ok(())
    }));
    let bulk = bulk.workers(2).deadline(Duration::from_millis(400));
    let started = Instant::now();
    let mut results = bulk.map(0..);
    let done = results.by_ref().filter(Result::is_ok).count();
    assert!(done > 0);
    assert!(started.elapsed() >= Duration::from_millis(400) && started.elapsed() < Duration::from_secs(10));
    assert!(results.report().notes.iter().any(|note| note.contains("deadline")));
    // It counts from each job's own start.
    assert!(bulk.map(0..5).all(|result| result.is_ok()));
}

#[test]
fn progress_is_told_and_ends_with_everything() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let bulk = Bulk::new(Squares::faulty(|number| if number == 3 { Fault::Item } else { Fault::None }));
    let bulk = bulk.progress(move |progress| told.lock().unwrap().push(*progress));
    assert_eq!(bulk.map(0..1000).count(), 1000);
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.items));
    let last = seen.last().unwrap();
    assert_eq!((last.items, last.errors, last.total, last.last), (1000, 1, Some(1000), true));
    assert!(seen[..seen.len() - 1].iter().all(|progress| !progress.last));
}

#[test]
fn what_is_in_flight_stays_under_the_limit_while_the_consumer_sleeps() {
    /// Counts the bytes that are alive.
    struct Block(Arc<AtomicUsize>);
    const BYTES: usize = 1 << 20;
    impl Block {
        fn new(alive: &Arc<AtomicUsize>) -> Self {
            alive.fetch_add(BYTES, SeqCst);
            Self(alive.clone())
        }
    }
    impl Drop for Block {
        fn drop(&mut self) {
            self.0.fetch_sub(BYTES, SeqCst);
        }
    }
    /// With so much scratch a worker.
    struct Big(Arc<AtomicUsize>, usize);
    impl Inference for Big {
        type Input = Block;
        type Output = Block;
        fn infer(&self, chunk: &[&Block], out: &mut Slots<'_, Block>) -> Result<()> {
            (0..chunk.len()).for_each(|place| out.set(place, Block::new(&self.0)));
            Ok(())
        }
        fn hints(&self) -> Hints {
            Hints::default().scratch_bytes(self.1)
        }
        fn input_bytes(&self, _: &Block) -> usize {
            BYTES
        }
        fn output_bytes(&self, _: &Block) -> usize {
            BYTES
        }
    }
    let (alive, limit) = (Arc::new(AtomicUsize::new(0)), 64 * BYTES);
    // Of the limit scratch leaves a half, and no less.
    for (scratch, left) in [(0, limit), (8 * BYTES, limit / 2), (1000 * BYTES, limit / 2)] {
        // Items that are small until they are prepared: their size cannot be known when they are pulled.
        let content = alive.clone();
        let pipeline = Pipeline::new(Big(alive.clone(), scratch)).prepare(move |_: &u64| Ok(Block::new(&content)));
        let bulk = Bulk::pipeline(pipeline).workers(4).memory_limit(limit);
        let mut results = bulk.map(0..);
        let mut most = 0;
        for round in 0..300 {
            let result = results.next().unwrap().unwrap();
            if round % 30 == 0 {
                thread::sleep(Duration::from_millis(30));
            }
            most = most.max(alive.load(SeqCst));
            drop(result);
        }
        // A worker may be in the middle of one item each when the limit is reached, input and output both alive.
        assert!(most <= left + 8 * BYTES, "{} MiB with {scratch} of scratch", most / BYTES);
        assert!(most >= left / 4, "{} MiB: the limit was not used", most / BYTES);
        drop(results);
        while alive.load(SeqCst) > 0 {
            thread::yield_now();
        }
    }
    // An item larger than the limit goes alone, and all the same.
    let bulk = Bulk::new(Big(alive.clone(), 0)).workers(4).memory_limit(BYTES / 2);
    let source = iter::repeat_with(|| {
        assert_eq!(alive.load(SeqCst) / BYTES, 0, "not alone");
        Block::new(&alive)
    });
    assert_eq!(bulk.run(&source.take(1).collect::<Vec<_>>()).0.len(), 1);
}

#[test]
fn a_job_inside_a_job_does_not_wait_for_itself() {
    let inner = Arc::new(Bulk::new(Squares::new()).workers(1));
    let outer = Bulk::new(from_fn(move |&count: &u64| Ok(inner.map(0..count).map(Result::unwrap).sum::<u64>())));
    let sums: Vec<u64> = outer.workers(1).map([3, 4, 100]).map(Result::unwrap).collect();
    assert_eq!(sums, [5, 14, 328_350]);
}

#[test]
fn a_slow_source_does_not_hold_back_what_is_ready() {
    let started = Instant::now();
    let source = (0..6_u64).inspect(|_| thread::sleep(Duration::from_millis(50)));
    let bulk = Bulk::new(Squares::new()).workers(2);
    let arrivals: Vec<Duration> = bulk.map(source).map(|_| started.elapsed()).collect();
    // Item i is read after (i + 1) * 50 ms, and should be here before many more are read.
    for (index, arrival) in arrivals.iter().enumerate() {
        let late = arrival.saturating_sub(Duration::from_millis(50 * (index as u64 + 1)));
        assert!(late < Duration::from_millis(240), "item {index} is {late:?} late");
    }
}

#[test]
fn a_few_slow_items_spread_over_the_workers() {
    let bulk = Bulk::new(from_fn(|_: &u64| {
        thread::sleep(Duration::from_millis(400));
        Ok(thread::current().name().map(str::to_owned))
    }));
    let bulk = bulk.workers(5);
    let started = Instant::now();
    let workers: HashSet<_> = bulk.map(0..5).map(Result::unwrap).collect();
    assert_eq!(workers.len(), 5, "{workers:?}");
    assert!(workers.iter().all(|name| name.as_ref().unwrap().starts_with("mill-worker-")));
    assert!(started.elapsed() < Duration::from_millis(1400), "{:?}", started.elapsed());
}

#[test]
fn the_report_counts_the_work() {
    // What each worker spends in the model.
    let spent: Arc<Mutex<HashMap<ThreadId, f64>>> = Arc::default();
    let by_worker = Arc::clone(&spent);
    let bulk = Bulk::new(from_fn(move |_: &u64| {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(1) {}
        *by_worker.lock().unwrap().entry(thread::current().id()).or_default() += started.elapsed().as_secs_f64();
        Ok(())
    }));
    let mut results = bulk.workers(2).map(0..200);
    let half = results.by_ref().take(100).count();
    assert_eq!((half, results.report().items), (100, 100));
    assert_eq!(results.by_ref().count(), 100);
    let report = results.report();
    assert_eq!((report.items, report.errors, report.workers, report.worker_busy.len()), (200, 0, 2, 2));
    assert!(report.chunks >= 8 && report.chunk_items.min >= 1 && report.chunk_items.max <= 50, "{report:?}");
    assert!(report.seconds >= 0.1 && (report.items_per_second * report.seconds - 200.0).abs() < 1.0);
    // On a busy machine one of them may hardly get a turn.
    let mut spent: Vec<f64> = spent.lock().unwrap().values().map(|seconds| seconds / report.seconds).collect();
    spent.resize(2, 0.0);
    let mut busy = report.worker_busy.clone();
    [&mut spent, &mut busy].into_iter().for_each(|shares| shares.sort_by(f64::total_cmp));
    assert!(spent.iter().sum::<f64>() * report.seconds >= 0.2, "{spent:?} {report:?}");
    for (spent, busy) in spent.iter().zip(&busy) {
        assert!((spent - 0.01..=1.01).contains(busy), "{spent:?}: {report:?}");
    }
    let text = report.to_string();
    assert!(text.starts_with("200 items in ") && text.contains("2 workers"), "{text}");
}

#[test]
fn the_report_names_the_slowest_items_and_says_what_took_how_long() {
    let slow = [17_u64, 400, 733];
    let bulk = Bulk::new(from_fn(move |number: &u64| {
        // Long enough that no interruption takes as long.
        spin(Duration::from_micros(if slow.contains(number) { 200_000 } else { 100 }));
        Ok(())
    }));
    let mut results = bulk.workers(2).chunk_size(1).map(0..1000);
    assert_eq!(results.by_ref().count(), 1000);
    let report = results.report();
    // Two at most come to the front by being interrupted.
    let named: Vec<u64> = report.slowest.iter().map(|item| item.index as u64).collect();
    assert!(slow.iter().all(|item| named.contains(item)), "{:?}", report.slowest);
    assert!(report.slowest.len() == 5 && report.slowest.is_sorted_by(|a, b| a.seconds >= b.seconds));
    assert!(report.slowest.iter().all(|item| item.alone) && report.slowest[2].seconds >= 0.2);
    let chunk = report.chunk_seconds;
    assert!(chunk.min >= 1e-4 && chunk.median >= 1e-4 && chunk.median < 0.1 && chunk.max >= 0.2, "{chunk:?}");
    assert_eq!(chunk.max, report.slowest[0].seconds);
    // The window is prepared long before its last item runs.
    let wait = report.queue_wait_seconds;
    assert!(wait.min <= wait.median && wait.median <= wait.max && wait.max > 1e-3, "{wait:?}");
    assert!(wait.max < report.seconds, "{wait:?}");
    // In a chunk of many, time is shared out by cost.
    let model = Squares { cost: |number| if number == 3 { 500 } else { 1 }, ..Squares::new() };
    let mut results = Bulk::new(model).workers(1).chunk_size(100).map(0..100);
    assert_eq!(results.by_ref().count(), 100);
    let slowest = results.report().slowest;
    assert_eq!((slowest[0].index, slowest[0].alone), (3, false));
    assert!(slowest[0].seconds > slowest[1].seconds * 100.0, "{slowest:?}");
}

/// Spins, so that the time is the processor's.
fn spin(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn mistakes_are_told_in_words() {
    let note = |mut results: Box<dyn FnMut() -> bulk::Report>, part: &str| {
        let notes = results().notes;
        assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:?}");
    };
    let report = |bulk: Bulk<_>, count: u64| {
        let mut results = bulk.map(0..count);
        assert_eq!(results.by_ref().count() as u64, count);
        results.report()
    };
    // More workers than processors.
    note(Box::new(|| report(Bulk::new(Squares::new()).workers(500), 10)), "500 workers share");
    // A source that is slower than the workers.
    note(
        Box::new(|| {
            let source = (0..200_u64).inspect(|_| thread::sleep(Duration::from_millis(1)));
            let mut results = Bulk::new(Squares::new()).workers(2).map(source);
            assert_eq!(results.by_ref().count(), 200);
            results.report()
        }),
        "slower than the workers",
    );
    // Chunks that are too small, and too large.
    let busy = || {
        from_fn(|_: &u64| {
            spin(Duration::from_micros(20));
            Ok(())
        })
    };
    let run = |bulk: Bulk<_>, items: usize| bulk.run(&vec![0_u64; items]).1;
    note(Box::new(move || run(Bulk::new(busy()).workers(2).chunk_size(1), 10_000)), "chunk size of 1 is too small");
    note(Box::new(move || run(Bulk::new(busy()).workers(2).chunk_size(3000), 6000)), "chunk size of 3000 is too large");
    // A model with threads of its own.
    let model = Arc::new(from_fn(|_: &u64| {
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| spin(Duration::from_millis(50))))));
        Ok(())
    }));
    note(Box::new(move || Bulk::new(Arc::clone(&model)).workers(1).run(&[0_u64; 20]).1), "threads of its own");
}
