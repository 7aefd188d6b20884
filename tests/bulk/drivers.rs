//! Models that want several chunks under way at once: driver threads outside the pool call them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gristmill::{
    Error, ErrorKind, Hints, Inference, Pipeline, Result, Slots, Stage,
    bulk::{Bulk, CancelToken, OnError},
};

use crate::support::{process::alone, watchdog::Watchdog};

const LANES: usize = 3;

/// A device that is only busy with as many chunks as it wants under way; until it has seen so many, it waits for
/// them.
#[derive(Default)]
struct Device {
    under_way: Mutex<usize>,
    changed: Condvar,
    most: AtomicUsize,
    threads: Mutex<BTreeSet<String>>,
    /// Whether it refuses to work in driver 1.
    picky: bool,
}

impl Device {
    /// One chunk on the device.
    fn work(&self) {
        let mut under_way = self.under_way.lock().unwrap();
        *under_way += 1;
        self.most.fetch_max(*under_way, SeqCst);
        self.changed.notify_all();
        // A chunk at a job's end may find no company.
        let patience = Duration::from_millis(500);
        let waiting = |_: &mut usize| self.most.load(SeqCst) < LANES;
        let (mut under_way, _) = self.changed.wait_timeout_while(under_way, patience, waiting).unwrap();
        *under_way -= 1;
    }
}

impl Inference for Device {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        self.threads.lock().unwrap().insert(thread::current().name().unwrap_or("").to_owned());
        if !self.ready_here() {
            return Err(Error::user("not in this thread"));
        }
        self.work();
        // Later chunks overtake earlier ones.
        thread::sleep(Duration::from_micros(chunk[0] % 5 * 300));
        for (place, &&number) in chunk.iter().enumerate() {
            match number % 1000 {
                77 => panic!("{number} makes it panic"),
                78 => return Err(Error::invalid_input("spoils the chunk")),
                79 => out.fail(place, Error::invalid_input("is bad")),
                _ => out.set(place, number + 1),
            }
        }
        Ok(())
    }
    fn hints(&self) -> Hints {
        Hints::default().in_flight(LANES)
    }
    fn ready_here(&self) -> bool {
        !(self.picky && thread::current().name() == Some("mill-driver-1"))
    }
}

fn bulk(device: &Arc<Device>) -> Bulk<Pipeline<u64, Arc<Device>, (u64, String)>> {
    let on_pool = || assert!(thread::current().name().unwrap().starts_with("mill-worker-"), "not on a worker");
    let pipeline = Pipeline::new(device.clone())
        .prepare(move |number: &u64| {
            on_pool();
            Ok(*number)
        })
        .finish(move |_, output| {
            on_pool();
            Ok((output, thread::current().name().unwrap_or("").to_owned()))
        });
    Bulk::pipeline(pipeline).workers(2).chunk_size(10)
}

fn watchdog(job: &str) -> Watchdog {
    Watchdog::new(Duration::from_secs(60), job.into())
}

/// Waits for drivers to be gone, where the system tells.
fn no_driver_is_left() {
    let drivers = || {
        let tasks = std::fs::read_dir("/proc/self/task").ok()?;
        let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        Some(names.filter(|name| name.starts_with("mill-driver")).count())
    };
    for _ in 0..500 {
        if drivers().is_none_or(|count| count == 0) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?} drivers are left", drivers());
}

/// One after the other: they count the process's threads.
#[test]
fn a_device_gets_as_many_chunks_as_it_wants() {
    if !alone(module_path!(), "a_device_gets_as_many_chunks_as_it_wants", &[]) {
        return;
    }
    the_results_stay_in_order();
    a_job_can_end_early();
    a_driver_that_cannot_leaves_the_work_to_the_others();
    the_queue_drives_too();
    a_model_that_wants_no_drivers_any_more_is_the_workers();
}

/// Wants drivers until it has run some chunks.
struct Settling {
    drivers_for: usize,
    chunks: AtomicUsize,
    threads: Mutex<Vec<String>>,
    first: usize,
}

impl Inference for Settling {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        self.threads.lock().unwrap().push(thread::current().name().unwrap_or("").to_owned());
        thread::sleep(Duration::from_millis(2));
        chunk.iter().enumerate().for_each(|(place, &&number)| out.set(place, number + 1));
        self.chunks.fetch_add(1, SeqCst);
        Ok(())
    }
    fn hints(&self) -> Hints {
        let in_flight = if self.chunks.load(SeqCst) < self.drivers_for { 2 } else { 1 };
        Hints::default().in_flight(in_flight).first_chunk_items(self.first)
    }
}

fn a_model_that_wants_no_drivers_any_more_is_the_workers() {
    let _watchdog = watchdog("released drivers");
    for (drivers_for, first) in [(1, 20), (1, 1), (7, 1)] {
        for queued in [false, true] {
            let (chunks, threads) = Default::default();
            let model = Arc::new(Settling { drivers_for, chunks, threads, first });
            let bulk = Bulk::new(model.clone()).workers(3);
            if queued {
                let queue = bulk.queue(Duration::from_micros(100)).unwrap();
                let handles: Vec<_> = (0..300).map(|number| queue.submit(number)).collect();
                drop(queue);
                for (index, handle) in handles.into_iter().enumerate() {
                    assert_eq!(handle.wait().unwrap().unwrap(), index as u64 + 1);
                }
            } else {
                let results: Vec<_> = bulk.map(0..300).map(Result::unwrap).collect();
                assert!(results.into_iter().eq(1..=300));
            }
            let threads = model.threads.lock().unwrap();
            let driven = threads.iter().filter(|name| name.starts_with("mill-driver")).count();
            // One more may have been under way.
            assert!((1..=drivers_for + 1).contains(&driven), "{threads:?}");
            assert!(threads.iter().any(|name| name.starts_with("mill-worker")) || threads.len() <= 2, "{threads:?}");
            no_driver_is_left();
        }
    }
}

fn the_results_stay_in_order() {
    let _watchdog = watchdog("ordered");
    let device = Arc::new(Device::default());
    let bulk = bulk(&device);
    let items: Vec<u64> = (0..2000).collect();
    let mut results = bulk.map(items.clone());
    let streamed: Vec<_> = results.by_ref().collect();
    let report = results.report();
    let (borrowed, borrowed_report) = bulk.run(&items);
    let mut unordered: Vec<_> = bulk.map_unordered(items).collect();
    unordered.sort_by_key(|(index, _)| *index);
    assert!(unordered.iter().map(|(index, _)| *index).eq(0..2000));
    let unordered = unordered.into_iter().map(|(_, result)| result).collect();
    for results in [streamed, borrowed, unordered] {
        assert_eq!(results.len(), 2000);
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok((output, _)) => assert_eq!(output, index as u64 + 1),
                Err(error) => {
                    assert_eq!((error.index, error.stage), (index, Stage::Run));
                    assert!((77..80).contains(&(index % 1000)), "{error}");
                    assert_eq!(error.source.kind() == ErrorKind::Panic, index % 1000 == 77);
                }
            }
        }
    }
    assert_eq!(device.most.load(SeqCst), LANES);
    let threads = device.threads.lock().unwrap().clone();
    assert!(threads.iter().map(String::as_str).eq(["mill-driver-0", "mill-driver-1", "mill-driver-2"]), "{threads:?}");
    assert_eq!((report.errors, borrowed_report.errors, report.driver_busy.len()), (6, 6, LANES));
    assert!(report.driver_busy.iter().sum::<f64>() > 0.5, "{report:?}");
    no_driver_is_left();
}

fn a_job_can_end_early() {
    let _watchdog = watchdog("early ends");
    let device = Arc::new(Device::default());
    assert_eq!(bulk(&device).map(0..).take(35).filter(Result::is_ok).count(), 35);
    no_driver_is_left();
    let failed = bulk(&device).on_error(OnError::FailFast).map(0..).last().unwrap().unwrap_err();
    assert_eq!(failed.index, 77);
    no_driver_is_left();
    let token = CancelToken::new();
    let mut results = bulk(&device).cancel(token.clone()).map(80..);
    assert!(results.by_ref().take(20).all(|result| result.is_ok()));
    token.cancel();
    // What was run is handed on, and what was not says so.
    assert!(results.all(|result| result.map_or_else(|error| error.source.kind() == ErrorKind::Cancelled, |_| true)));
    no_driver_is_left();
}

fn a_driver_that_cannot_leaves_the_work_to_the_others() {
    let _watchdog = watchdog("a driver that cannot");
    let device = Arc::new(Device { picky: true, most: AtomicUsize::new(LANES), ..Device::default() });
    let mut results = bulk(&device).map(100..300);
    assert!(results.by_ref().all(|result| result.is_ok()));
    let tried = device.threads.lock().unwrap().contains("mill-driver-1");
    let notes = results.report().notes;
    assert_eq!(tried, notes.iter().any(|note| note.contains("driver 1 could not")), "{notes:?}");
    drop(results);
    no_driver_is_left();
}

fn the_queue_drives_too() {
    let _watchdog = watchdog("the queue");
    let device = Arc::new(Device::default());
    let queue = bulk(&device).queue(Duration::from_millis(1)).unwrap();
    let handles: Vec<_> = (0..500).map(|number| queue.submit(number)).collect();
    drop(queue);
    for (index, handle) in handles.into_iter().enumerate() {
        match handle.wait().unwrap() {
            Ok((output, finisher)) => {
                assert_eq!(output, index as u64 + 1);
                assert!(finisher.starts_with("mill-worker-"), "finished on {finisher}");
            }
            Err(error) => assert!((77..80).contains(&error.index) && error.index == index, "{error}"),
        }
    }
    assert_eq!(device.most.load(SeqCst), LANES);
    no_driver_is_left();
}
