//! Models that measure on the first chunk of a job: it is as large as they wish, and runs alone.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use gristmill::{
    Hints, Inference, Pipeline, Result, Slots,
    bulk::{Bulk, Stages},
};

const WISH: usize = 32;

/// Takes its time over its first chunk, and remembers the sizes of all, and those that began meanwhile.
#[derive(Default)]
struct Measuring {
    chunks: Mutex<Vec<usize>>,
    under_way: AtomicUsize,
    beside_the_first: AtomicUsize,
    in_flight: usize,
}

impl Measuring {
    fn sizes(&self) -> Vec<usize> {
        self.chunks.lock().unwrap().clone()
    }
}

impl Inference for Measuring {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        let mut chunks = self.chunks.lock().unwrap();
        chunks.push(chunk.len());
        let first = chunks.len() == 1;
        drop(chunks);
        if first {
            self.under_way.store(1, SeqCst);
            thread::sleep(Duration::from_millis(50));
            self.under_way.store(0, SeqCst);
        } else {
            self.beside_the_first.fetch_add(self.under_way.load(SeqCst), SeqCst);
        }
        for (place, &&number) in chunk.iter().enumerate() {
            out.set(place, number + 1);
        }
        Ok(())
    }
    fn hints(&self) -> Hints {
        Hints::default().first_chunk_items(WISH).in_flight(self.in_flight)
    }
}

fn check<S: Stages<u64, Output = u64> + 'static>(bulk: Bulk<S>, model: &Measuring, first: usize) {
    let results: Vec<u64> = bulk.map(0..500).map(Result::unwrap).collect();
    assert!(results.into_iter().eq(1..=500));
    assert_eq!((model.sizes()[0], model.beside_the_first.load(SeqCst)), (first, 0));
    model.chunks.lock().unwrap().clear();
}

#[test]
fn the_first_chunk_is_as_large_as_the_model_wishes_and_runs_alone() {
    for in_flight in [1, 3] {
        let model = Arc::new(Measuring { in_flight, ..Measuring::default() });
        for workers in [1, 4] {
            check(Bulk::new(model.clone()).workers(workers), &model, WISH);
            let pipeline = || Pipeline::new(model.clone()).prepare(|number: &u64| Ok(*number));
            check(Bulk::pipeline(pipeline()).workers(workers), &model, WISH);
            // What the caller chose holds.
            check(Bulk::new(model.clone()).workers(workers).max_chunk_cost(20), &model, 20);
            check(Bulk::new(model.clone()).workers(workers).window(10), &model, 10);
            check(Bulk::new(model.clone()).workers(workers).memory_limit(80), &model, 10);
        }
    }
    let model = Arc::new(Measuring::default());
    let (results, _) = Bulk::new(model.clone()).workers(2).run(&(0..100).collect::<Vec<_>>());
    assert_eq!((results.len(), model.sizes()[0]), (100, WISH));
}

#[test]
fn a_short_or_slow_source_is_waited_for_no_longer_than_it_takes() {
    let model = Arc::new(Measuring::default());
    let bulk = Bulk::new(model.clone()).workers(2);
    assert_eq!(bulk.map(0..5).filter(Result::is_ok).count(), 5);
    assert_eq!(model.sizes(), [5]);
    model.chunks.lock().unwrap().clear();

    let started = Instant::now();
    let slow = (0..WISH as u64 + 50).inspect(|_| thread::sleep(Duration::from_millis(4)));
    let mut results = bulk.map(slow);
    results.next().unwrap().unwrap();
    let took = started.elapsed();
    assert_eq!(model.sizes()[0], WISH);
    // The source gives all of it in 330 ms; the first chunk's part in 130, and 50 go by while it runs.
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[test]
fn what_comes_first_to_a_queue_shares_a_chunk() {
    let model = Arc::new(Measuring::default());
    let queue = Bulk::new(model.clone()).workers(2).queue(Duration::from_secs(10)).unwrap();
    let started = Instant::now();
    let handles: Vec<_> = (0..100).map(|number| queue.submit(number)).collect();
    drop(queue);
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.wait().unwrap().unwrap(), number as u64 + 1);
    }
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!((model.sizes()[0], model.beside_the_first.load(SeqCst)), (WISH, 0));
    // A lone item waits no longer than stated.
    let queue = Bulk::new(Measuring::default()).workers(2).queue(Duration::from_millis(20)).unwrap();
    assert_eq!(queue.submit(7).wait().unwrap().unwrap(), 8);
}
