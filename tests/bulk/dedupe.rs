//! Equal items of a job run once, and every one of them gets its result.

use std::{
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gristmill::{
    Error, Pipeline, Result, Stage,
    bulk::{Bulk, OnError},
    from_fn,
};

/// Squares numbers; keeps what it was asked.
fn squares(asked: &Arc<Mutex<Vec<u64>>>) -> Bulk<impl gristmill::bulk::Stages<u64, Item = u64, Output = u64> + use<>> {
    let asked = Arc::clone(asked);
    Bulk::new(from_fn(move |&number: &u64| {
        asked.lock().unwrap().push(number);
        if number % 10 == 7 {
            Err(Error::invalid_input(format!("{number} is bad")).into())
        } else {
            Ok(number * number)
        }
    }))
}

fn sorted(asked: &Mutex<Vec<u64>>) -> Vec<u64> {
    let mut asked = asked.lock().unwrap().clone();
    asked.sort_unstable();
    asked
}

#[test]
fn equal_items_run_once_and_all_get_their_result_in_order() {
    for workers in [1, 3] {
        for chunk in [1, 5, 64] {
            let asked = Arc::default();
            let bulk = squares(&asked).workers(workers).chunk_size(chunk).dedupe();
            let items: Vec<u64> = (0..5000).map(|index| index * index % 100).collect();
            let mut results = bulk.map(items.clone());
            for (index, (number, result)) in items.iter().zip(results.by_ref()).enumerate() {
                match result {
                    Ok(square) => assert_eq!(square, number * number),
                    Err(error) => {
                        assert_eq!((error.index, error.stage), (index, Stage::Run));
                        assert!(number % 10 == 7 && error.source.to_string() == format!("{number} is bad"));
                    }
                }
            }
            assert!(results.next().is_none());
            let mut distinct = items.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(sorted(&asked), distinct);
            let report = results.report();
            assert_eq!((report.items, report.duplicates), (5000, 5000 - distinct.len()));
            assert_eq!(report.errors, items.iter().filter(|number| *number % 10 == 7).count());
        }
    }
}

#[test]
fn in_the_order_of_completion_every_index_comes_once() {
    let slow = Bulk::new(from_fn(|&number: &u64| {
        thread::sleep(Duration::from_millis(number));
        Ok(number)
    }));
    let items: Vec<u64> = (0..300).map(|index| [30, 0, 1, 30, 2][index % 5]).collect();
    let mut results = slow.workers(4).chunk_size(1).dedupe().map_unordered(items.clone());
    let mut seen: Vec<_> = results.by_ref().map(|(index, result)| (index, result.unwrap())).collect();
    seen.sort_unstable();
    assert_eq!(seen, items.iter().copied().enumerate().collect::<Vec<_>>());
    assert_eq!(results.report().duplicates, 296);
}

#[test]
fn policies_count_every_item_that_fails() {
    let numbers = [1, 7, 2, 7, 7, 3, 7];
    let results = |policy| {
        let asked = Arc::default();
        let mut results = squares(&asked).on_error(policy).dedupe().map(numbers);
        let all: Vec<_> = results.by_ref().map(|result| result.map_err(|error| error.index)).collect();
        let report = results.report();
        assert_eq!(sorted(&asked).iter().filter(|number| **number == 7).count(), 1);
        (all, report.items, report.errors)
    };
    assert_eq!(results(OnError::Skip), (vec![Ok(1), Ok(4), Ok(9)], 7, 4));
    assert_eq!(results(OnError::FailFast), (vec![Ok(1), Err(1)], 2, 1));
    let two_errors = vec![Ok(1), Err(1), Ok(4), Err(3), Err(4)];
    assert_eq!(results(OnError::Collect { max_errors: 2 }), (two_errors, 5, 3));
}

#[test]
fn the_report_of_borrowed_items_is_of_the_whole() {
    let bulk = Bulk::new(from_fn(|text: &str| {
        thread::sleep(Duration::from_millis(if text == "bad" { 20 } else { 1 }));
        if text == "bad" { Err(Error::invalid_input("no good").into()) } else { Ok(()) }
    }));
    let bulk = bulk.workers(1).chunk_size(1).dedupe();
    let notes = |items: &[&str], note: &str| {
        let report = bulk.run(items).1;
        assert!(report.notes.iter().any(|told| told == note), "{:?}", report.notes);
        let rate = items.len() as f64 / report.seconds;
        assert!((report.items_per_second - rate).abs() <= rate * 1e-9, "{report:?}");
        assert_eq!((report.items, report.slowest[0].index), (items.len(), 3));
        let mut results = bulk.map(items.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(results.by_ref().count(), items.len());
        assert!(results.report().notes.iter().any(|told| told == note), "{:?}", results.report().notes);
    };
    notes(&["a", "a", "a", "bad"], "item 3 failed in run: no good");
    notes(&["a", "a", "a", "bad", "b", "bad"], "2 items failed; the first: item 3 failed in run: no good");
}

#[test]
fn an_endless_source_of_equals_stays_within_memory() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let bulk = Bulk::new(from_fn(move |text: &str| {
        counted.fetch_add(1, SeqCst);
        Ok(text.len())
    }));
    let pulled = Arc::new(AtomicUsize::new(0));
    let source = iter::repeat("the same").inspect({
        let pulled = pulled.clone();
        move |_| {
            pulled.fetch_add(1, SeqCst);
        }
    });
    let results = bulk.window(64).dedupe().map(source);
    for (index, result) in results.take(100_000).enumerate() {
        assert_eq!(result.unwrap(), 8);
        assert!(pulled.load(SeqCst) <= index + 64 * 8);
    }
    assert_eq!(runs.load(SeqCst), 1);
}

#[test]
fn results_kept_for_equals_stay_within_the_memory_limit() {
    // Each result holds 1 MiB, and eight of them may be kept; so each of the hundred items, which come round
    // twice, runs twice, and eight in a row run once.
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let held = Arc::new(AtomicUsize::new(0));
    struct Big(Arc<AtomicUsize>);
    impl Clone for Big {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, SeqCst);
            Self(self.0.clone())
        }
    }
    impl Drop for Big {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let made = held.clone();
    let pipeline = Pipeline::new(from_fn(|number: &u64| Ok(*number)))
        .prepare(|number: &u64| Ok(*number))
        .finish(move |_, _| {
            counted.fetch_add(1, SeqCst);
            made.fetch_add(1, SeqCst);
            Ok(Big(made.clone()))
        })
        .result_bytes(|_| 1 << 20);
    let bulk = Bulk::pipeline(pipeline).workers(2).memory_limit(32 << 20).dedupe();
    for result in bulk.map((0..100).chain(0..100)) {
        drop(result.unwrap());
        assert!(held.load(SeqCst) <= 32, "{} MiB", held.load(SeqCst));
    }
    assert_eq!(runs.swap(0, SeqCst), 200);
    assert_eq!(bulk.map((0..8).cycle().take(80)).filter(Result::is_ok).count(), 80);
    assert_eq!((runs.load(SeqCst), held.load(SeqCst)), (8, 0));
}

#[test]
fn borrowed_items_run_once_each() {
    let asked = Arc::default();
    let numbers = [3, 7, 3, 1, 7, 3];
    let (results, report) = squares_borrowed(&asked).dedupe().run(&numbers);
    let results: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.index)).collect();
    assert_eq!(results, [Ok(9), Err(1), Ok(9), Ok(1), Err(4), Ok(9)]);
    assert_eq!(sorted(&asked), [1, 3, 7]);
    assert_eq!((report.items, report.errors, report.duplicates), (6, 2, 3));
}

#[test]
fn an_early_end_leaves_out_the_same_items_as_without_dedupe() {
    let numbers = [3, 1, 7, 3, 5, 1, 7, 7, 3];
    for policy in
        [OnError::FailFast, OnError::Collect { max_errors: 1 }, OnError::Collect { max_errors: 9 }, OnError::Skip]
    {
        let told = |(results, report): (Vec<Result<u64, gristmill::ItemError>>, gristmill::bulk::Report)| {
            let told = |error: gristmill::ItemError| (error.index, error.stage, error.source.kind());
            let results: Vec<_> = results.into_iter().map(|result| result.map_err(told)).collect();
            (results, report.items, report.errors)
        };
        let bulk = || squares_borrowed(&Arc::default()).on_error(policy);
        assert_eq!(told(bulk().dedupe().run(&numbers)), told(bulk().run(&numbers)), "{policy:?}");
    }
}

fn squares_borrowed(
    asked: &Arc<Mutex<Vec<u64>>>,
) -> Bulk<impl for<'i> gristmill::bulk::Stages<&'i u64, Item = u64, Output = u64> + use<>> {
    let asked = Arc::clone(asked);
    Bulk::new(from_fn(move |&number: &u64| {
        asked.lock().unwrap().push(number);
        if number % 10 == 7 { Err(Error::invalid_input("bad").into()) } else { Ok(number * number) }
    }))
}

#[test]
fn a_key_of_the_callers_own_and_one_that_panics() {
    let bulk = Bulk::new(from_fn(|text: &str| Ok(text.to_owned()))).dedupe_by(|text: &str| {
        assert_ne!(text, "odd", "no key for this one");
        text.to_lowercase()
    });
    let results: Vec<_> = bulk.map(["A", "odd", "a", "b"]).collect();
    assert_eq!(results.iter().filter_map(|result| result.as_deref().ok()).collect::<Vec<_>>(), ["A", "A", "b"]);
    let error = results[1].as_ref().unwrap_err();
    assert_eq!((error.index, error.stage), (1, Stage::Read));
    assert!(error.source.to_string().contains("no key for this one"));
}

#[test]
fn a_source_that_fails_and_a_job_that_is_cut_off() {
    let asked = Arc::default();
    let source = [Ok(4), Err("torn"), Ok(4), Err("torn")];
    let results: Vec<Result<_, _>> = squares(&asked).dedupe().map_results(source).collect();
    assert!(matches!(results[..], [Ok(16), Err(_), Ok(16), Err(_)]));

    let token = gristmill::bulk::CancelToken::new();
    let bulk = squares(&asked).cancel(token.clone()).dedupe();
    let mut results = bulk.map(iter::repeat(5));
    assert_eq!(results.next().unwrap().unwrap(), 25);
    token.cancel();
    let rest = results.by_ref().count();
    assert!(rest < 1_000_000);
    assert!(results.report().notes.iter().any(|note| note.contains("cancelled")));
}
