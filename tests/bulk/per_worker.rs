//! A model per worker: made once, leased, rebuilt after a panic, and done without where it cannot be made.

use std::{
    cell::Cell,
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gristmill::{ErrorKind, PerWorker, Pipeline, bulk::Bulk};

/// A model that is `Send` and not `Sync`.
struct Counter {
    worker: usize,
    calls: Cell<usize>,
}

impl Counter {
    fn new(worker: usize) -> Self {
        Self { worker, calls: Cell::new(0) }
    }
}

fn nap() {
    thread::sleep(Duration::from_millis(2));
}

#[test]
fn each_worker_makes_its_model_once_for_all_jobs() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let model = PerWorker::new(
        move |worker| {
            count.fetch_add(1, SeqCst);
            Ok(Counter::new(worker))
        },
        |model: &mut Counter, number: &u64| {
            nap();
            model.calls.set(model.calls.get() + 1);
            Ok((model.worker, *number))
        },
    );
    let bulk = Bulk::new(model).workers(4);
    for _ in 0..3 {
        let results: Vec<(usize, u64)> = bulk.map(0..100).map(Result::unwrap).collect();
        assert!(results.iter().enumerate().all(|(index, &(_, number))| number == index as u64));
        let workers: HashSet<usize> = results.iter().map(|&(worker, _)| worker).collect();
        assert!(workers.len() <= made.load(SeqCst));
    }
    assert!((2..=4).contains(&made.load(SeqCst)), "{made:?}");
}

#[test]
fn no_more_models_than_items() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let model = PerWorker::new(
        move |worker| {
            thread::sleep(Duration::from_millis(50));
            count.fetch_add(1, SeqCst);
            Ok(worker)
        },
        |_: &mut usize, _: &u64| Ok(()),
    );
    assert_eq!(Bulk::new(model).workers(6).map(0..2).filter(Result::is_ok).count(), 2);
    assert!(made.load(SeqCst) <= 2, "{made:?}");
}

#[test]
fn models_go_with_their_owner() {
    struct Loud(Arc<AtomicUsize>);
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let (dropped, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (on_drop, on_make) = (dropped.clone(), made.clone());
    let model = PerWorker::new(
        move |_| {
            on_make.fetch_add(1, SeqCst);
            Ok(Loud(on_drop.clone()))
        },
        |_: &mut Loud, _: &u64| {
            nap();
            Ok(())
        },
    );
    let bulk = Bulk::new(model).workers(3);
    assert_eq!(bulk.map(0..60).count(), 60);
    assert_eq!(dropped.load(SeqCst), 0);
    drop(bulk);
    // A worker may still be on its way out of the last turn.
    for _ in 0..200 {
        if dropped.load(SeqCst) == made.load(SeqCst) {
            return;
        }
        nap();
    }
    panic!("{dropped:?} of {made:?} models dropped");
}

#[test]
fn a_panic_costs_one_item_and_a_new_model() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let model = PerWorker::new(
        move |worker| {
            count.fetch_add(1, SeqCst);
            Ok(Counter::new(worker))
        },
        |model: &mut Counter, number: &u64| {
            // Left broken by the panic: it must not be seen again.
            assert_ne!(model.calls.get(), 99, "a broken model was used");
            if *number == 13 {
                model.calls.set(99);
                panic!("thirteen");
            }
            Ok(*number)
        },
    );
    let results: Vec<_> = Bulk::new(model).workers(1).map(0..50).collect();
    for (index, result) in results.iter().enumerate() {
        match result {
            Ok(number) => assert_eq!(*number, index as u64),
            Err(error) => assert_eq!((index, error.index, error.source.kind()), (13, 13, ErrorKind::Panic)),
        }
    }
    assert!(results[13].is_err());
    assert_eq!(made.load(SeqCst), 2);
}

#[test]
fn workers_without_a_model_leave_the_work_to_the_others() {
    for panics in [false, true] {
        let tried = Arc::new(AtomicUsize::new(0));
        let count = tried.clone();
        let model = PerWorker::new(
            move |worker| {
                count.fetch_add(1, SeqCst);
                assert!(!panics || worker == 2, "no model here");
                if worker == 2 { Ok(worker) } else { Err("no model here".into()) }
            },
            |worker: &mut usize, number: &u64| {
                thread::sleep(Duration::from_micros(200));
                Ok((*worker, *number))
            },
        );
        let bulk = Bulk::new(model).workers(4);
        let mut results = bulk.map(0..300);
        let all: Vec<_> = results.by_ref().map(|result| result.expect("a worker has a model")).collect();
        assert_eq!(all, (0..300).map(|number| (2, number)).collect::<Vec<_>>());
        assert!(tried.load(SeqCst) <= 4, "{tried:?}");
        let notes = results.report().notes;
        assert!(notes.iter().any(|note| note.contains("no model here")), "{notes:?}");
        // Borrowed items take the other way through the pool.
        assert!(bulk.run(&(0..100).collect::<Vec<u64>>()).0.iter().all(Result::is_ok));
    }
}

#[test]
fn no_model_at_all_is_every_items_error_and_tried_once_a_worker() {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    let model = PerWorker::new(
        move |_| {
            count.fetch_add(1, SeqCst);
            Err::<(), _>("the weights are gone".into())
        },
        |(): &mut (), _: &u64| Ok(()),
    );
    let bulk = Bulk::new(model).workers(3);
    for _ in 0..2 {
        let results: Vec<_> = bulk.map(0..200).collect();
        assert_eq!(results.len(), 200);
        for (index, result) in results.iter().enumerate() {
            let error = result.as_ref().unwrap_err();
            assert_eq!(error.index, index);
            assert!(error.to_string().contains("the weights are gone"), "{error}");
        }
    }
    assert!(tried.load(SeqCst) <= 3, "{tried:?}");
}

#[test]
fn rayon_inside_a_model_does_not_enter_it_twice() {
    struct Guarded(bool);
    let model = PerWorker::new(
        |_| Ok(Guarded(false)),
        |model: &mut Guarded, number: &u64| {
            assert!(!model.0, "entered twice");
            model.0 = true;
            // While this waits, the worker takes other tasks of the pool: chunks of this job among them.
            let (a, b) = rayon::join(nap, || {
                nap();
                *number
            });
            let ((), number) = (a, b);
            model.0 = false;
            Ok(number)
        },
    );
    let bulk = Bulk::new(model).workers(3).chunk_size(1);
    let results: Vec<u64> = bulk.map(0..300).map(|result| result.expect("no call fails")).collect();
    assert_eq!(results, (0..300).collect::<Vec<_>>());
}

#[test]
fn it_serves_inside_a_pipeline() {
    let model = PerWorker::new(|_| Ok(10), |factor: &mut u64, number: &u64| Ok(*number * *factor));
    let pipeline = Pipeline::new(model).prepare(|text: &str| Ok(text.parse()?));
    let results: Vec<u64> = Bulk::pipeline(pipeline).workers(2).map(["1", "2"]).map(Result::unwrap).collect();
    assert_eq!(results, [10, 20]);
}

#[test]
fn a_queue_passes_chunks_on_to_workers_that_have_a_model() {
    for able in [Some(2), None] {
        let tried = Arc::new(AtomicUsize::new(0));
        let count = tried.clone();
        let model = PerWorker::new(
            move |worker| {
                count.fetch_add(1, SeqCst);
                if Some(worker) == able { Ok(worker) } else { Err("no model here".into()) }
            },
            |worker: &mut usize, number: &u64| {
                thread::sleep(Duration::from_micros(200));
                Ok((*worker, *number))
            },
        );
        let queue = Bulk::new(model).workers(4).chunk_size(5).queue(Duration::ZERO).unwrap();
        let handles: Vec<_> = (0..300).map(|number| queue.submit(number)).collect();
        for (number, handle) in (0..300).zip(handles) {
            match (able, handle.wait().unwrap()) {
                (Some(worker), result) => assert_eq!(result.expect("a worker has a model"), (worker, number)),
                (None, result) => assert!(result.unwrap_err().to_string().contains("no model here")),
            }
        }
        assert!(tried.load(SeqCst) <= 4, "{tried:?}");
    }
}

#[test]
fn two_jobs_with_rayon_inside_share_the_models() {
    let model = PerWorker::new(
        |_| Ok(()),
        |(): &mut (), number: &u64| {
            rayon::join(nap, nap);
            Ok(*number)
        },
    );
    let bulk = Arc::new(Bulk::new(model).workers(2).chunk_size(1));
    // While one call waits in `join`, its worker may take a chunk of the other job, or of the queue.
    let jobs: Vec<_> = (0..3)
        .map(|job| {
            let bulk = bulk.clone();
            thread::spawn(move || match job {
                0 => {
                    let queue = bulk.queue(Duration::ZERO).unwrap();
                    let handles: Vec<_> = (0..100).map(|number| queue.submit(number)).collect();
                    handles.into_iter().map(|handle| handle.wait().unwrap()).collect::<Result<Vec<u64>, _>>()
                }
                _ => bulk.map(0..100).collect(),
            })
        })
        .collect();
    for job in jobs {
        assert_eq!(job.join().unwrap().expect("no call fails"), (0..100).collect::<Vec<_>>());
    }
}
