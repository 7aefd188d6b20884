//! What a service asks of a queue: limits that never block, numbers, and new versions of its model.

use std::{
    fs,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use gristmill::{
    Description, Error, ErrorKind, Hints, Inference, Result, Slots,
    bulk::{Bulk, CancelToken, Full, Hot, Plain, Queue},
    from_fn,
};

/// A queue whose model waits at a gate, and the gate.
fn gated(bulk: impl Fn(Bulk<Plain<Gated>>) -> Bulk<Plain<Gated>>) -> (Queue<u64, u64>, mpsc::Sender<()>) {
    let (open, opened) = mpsc::channel();
    let model = Gated(Mutex::new(opened));
    (bulk(Bulk::new(model).workers(1).chunk_size(1)).queue(Duration::ZERO).unwrap(), open)
}

struct Gated(Mutex<mpsc::Receiver<()>>);

impl Inference for Gated {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        // Open for good once its other end is gone.
        let _ = self.0.lock().unwrap().recv();
        for (place, &&number) in chunk.iter().enumerate() {
            match number {
                13 => out.fail(place, Error::invalid_input("thirteen")),
                _ => out.set(place, number + 1),
            }
        }
        Ok(())
    }
}

/// Waits for what becomes true soon.
fn soon(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "not so after 20 s: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_full_queue_hands_items_back() {
    // By number of items, and by bytes: an item has eight.
    for bytes in [false, true] {
        let (queue, open) = gated(|bulk| if bytes { bulk.memory_limit(16) } else { bulk.queue_limit(2) });
        assert!(queue.is_empty() && queue.age().is_none());
        let handles = [1, 2].map(|number| queue.try_submit(number).unwrap());
        let Err(Full(item)) = queue.try_submit(3) else { panic!("three items in a queue for two") };
        assert_eq!((item, queue.len(), queue.report().rejected), (3, 2, 1));
        thread::sleep(Duration::from_millis(5));
        assert!(queue.age().is_some_and(|age| age >= Duration::from_millis(5)));
        open.send(()).unwrap();
        soon("there is room", || queue.len() == 1);
        let third = queue.try_submit(item).unwrap();
        drop(open);
        let answers = handles.into_iter().chain([third]).map(|handle| handle.wait().unwrap().unwrap());
        assert_eq!(answers.collect::<Vec<_>>(), [2, 3, 4]);
        soon("all is answered", || queue.is_empty());
    }
}

#[test]
fn submitting_as_a_future_waits_for_room() {
    let (queue, open) = gated(|bulk| bulk.queue_limit(1));
    let first = queue.submit(1);
    let (woken, gone) = (Arc::new(Counting::default()), Arc::new(Counting::default()));
    let (waker, other) = (Waker::from(woken.clone()), Waker::from(gone.clone()));
    let mut second = queue.submit_async(2);
    let mut dropped = queue.submit_async(99);
    for _ in 0..3 {
        assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(Pin::new(&mut dropped).poll(&mut Context::from_waker(&other)).is_pending());
    }
    drop(dropped);
    assert_eq!(queue.report().submitted, 1);
    open.send(()).unwrap();
    assert_eq!(first.wait().unwrap().unwrap(), 2);
    soon("the task is woken", || woken.0.load(SeqCst) == 1);
    assert_eq!(gone.0.load(SeqCst), 0);
    let Poll::Ready(handle) = Pin::new(&mut second).poll(&mut Context::from_waker(&waker)) else {
        panic!("there is room")
    };
    drop(open);
    assert_eq!(handle.wait().unwrap().unwrap(), 3);
    assert_eq!(queue.report().submitted, 2);
}

#[test]
fn many_tasks_wait_for_room_and_all_get_it() {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let queue = Bulk::new(from_fn(|number: &u64| Ok(*number))).workers(2).queue_limit(3).queue(Duration::ZERO).unwrap();
    thread::scope(|scope| {
        for task in 0..8 {
            let queue = &queue;
            scope.spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(thread::current())));
                for number in task * 100..task * 100 + 100 {
                    let mut submission = queue.submit_async(number);
                    let handle = loop {
                        match Pin::new(&mut submission).poll(&mut Context::from_waker(&waker)) {
                            Poll::Ready(handle) => break handle,
                            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
                        }
                    };
                    assert!(queue.len() <= 3);
                    assert_eq!(handle.wait().unwrap().unwrap(), number);
                }
            });
        }
    });
    assert_eq!(queue.report().submitted, 800);
}

#[test]
fn a_report_counts_what_happened() {
    let (queue, open) = gated(|bulk| bulk.queue_limit(8));
    let handles = [1, 13, 3, 4].map(|number| queue.submit(number));
    handles[3].cancel();
    let before = queue.report();
    assert_eq!((before.submitted, before.answered, before.waiting, before.waiting_bytes), (4, 0, 4, 32));
    thread::sleep(Duration::from_millis(30));
    assert!(queue.report().oldest_seconds >= 0.03);
    drop(open);
    assert_eq!(handles.map(|handle| handle.wait().unwrap().is_ok()), [true, false, true, false]);
    soon("all is answered", || queue.is_empty());
    let report = queue.report();
    assert_eq!((report.answered, report.errors, report.cancelled, report.rejected), (4, 1, 1, 0));
    assert_eq!((report.waiting, report.waiting_bytes, report.oldest_seconds), (0, 0, 0.0));
    assert_eq!((report.chunks, report.chunk_items.min, report.chunk_items.max), (3, 1, 1));
    assert!(report.answer_seconds.max >= 0.03 && report.answer_seconds.median >= 0.02, "{report:?}");
    assert!(report.wait_seconds.max <= report.answer_seconds.max && report.chunk_seconds.p95 > 0.0, "{report:?}");
}

/// Adds a number that its file holds, and wants as many drivers as it says behind it.
struct Add {
    number: u64,
    drivers: usize,
    alive: Arc<AtomicUsize>,
    driven: Arc<AtomicUsize>,
}

impl Drop for Add {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

impl Inference for Add {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        let driver = thread::current().name().is_some_and(|name| name.starts_with("mill-driver"));
        self.driven.fetch_add(usize::from(driver), SeqCst);
        (0..chunk.len()).for_each(|place| out.set(place, *chunk[place] + self.number));
        Ok(())
    }
    fn hints(&self) -> Hints {
        Hints::default().in_flight(self.drivers)
    }
    fn describe(&self) -> Description {
        let mut description = Description::default();
        description.model_fingerprint = self.number.to_string().into();
        description
    }
}

/// A hot model of [`Add`], how many versions of it are alive, and how many of its chunks drivers ran.
fn hot(path: &Path) -> (Arc<Hot<Plain<Add>>>, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (alive, driven) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, ran) = (alive.clone(), driven.clone());
    let load = move |path: &Path| {
        let text = fs::read_to_string(path).map_err(|error| Error::io(error, "reading the number"))?;
        let (number, drivers) = text.split_once(' ').ok_or_else(|| Error::invalid_input("two numbers"))?;
        let (number, drivers) = (number.parse().map_err(Error::user)?, drivers.parse().map_err(Error::user)?);
        count.fetch_add(1, SeqCst);
        Ok(Add { number, drivers, alive: count.clone(), driven: ran.clone() })
    };
    (Arc::new(Hot::open(path, load, |_| String::new()).unwrap()), alive, driven)
}

#[test]
fn a_queue_follows_a_thousand_versions_and_loses_no_item() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    fs::write(&path, "1000000 1").unwrap();
    let (hot, alive, _) = hot(&path);
    let queue = Bulk::hot(hot.clone()).workers(2).queue(Duration::from_micros(100)).unwrap();
    let (latest, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut asked, mut before) = (0_u64, 0);
                    while !stop.load(SeqCst) {
                        let item = asked % 1000;
                        let due = latest.load(SeqCst);
                        let answer = queue.submit(item).wait().unwrap().unwrap();
                        let version = answer / 1_000_000;
                        assert_eq!(answer % 1_000_000, item);
                        assert!(version >= due.max(before), "version {version} after {due} was loaded");
                        (asked, before) = (asked + 1, version);
                    }
                    asked
                })
            })
            .collect();
        for version in 2..=1001 {
            fs::write(&path, format!("{} 1", version * 1_000_000)).unwrap();
            assert_eq!(hot.reload(&path).unwrap(), version);
            latest.store(version, SeqCst);
        }
        stop.store(true, SeqCst);
        let asked: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        println!("{asked} items answered during a thousand swaps");
        soon("all is answered", || queue.is_empty());
        assert_eq!((queue.report().answered as u64, queue.report().errors), (asked, 0));
        assert!(asked >= 100, "{asked}");
    });
    assert_eq!(queue.submit(0).wait().unwrap().unwrap(), 1001 * 1_000_000);
    soon("old versions are gone", || alive.load(SeqCst) == 1);
}

#[test]
fn versions_may_differ_in_who_runs_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    fs::write(&path, "0 1").unwrap();
    let (hot, _, driven) = hot(&path);
    let queue = Bulk::hot(hot.clone()).workers(2).queue(Duration::ZERO).unwrap();
    // None, two, three, none and again two drivers.
    for (number, drivers) in [(100, 1), (200, 2), (300, 3), (400, 1), (500, 2)] {
        fs::write(&path, format!("{number} {drivers}")).unwrap();
        hot.reload(&path).unwrap();
        let before = driven.load(SeqCst);
        let handles: Vec<_> = (0..50).map(|item| queue.submit(item)).collect();
        for (item, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.wait().unwrap().unwrap(), number + item as u64);
        }
        assert_eq!(driven.load(SeqCst) > before, drivers > 1, "{drivers} in flight");
    }
}

#[cfg(feature = "cache")]
#[test]
fn a_queue_over_a_cache_follows_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    fs::write(&path, "10 1").unwrap();
    let (hot, _, _) = hot(&path);
    let cache = gristmill::bulk::Cache::open(folder.path().join("cache"), 1 << 20).unwrap();
    let queue = Bulk::hot(hot.clone()).cached(&cache, "add").workers(1).queue(Duration::ZERO).unwrap();
    assert_eq!([1, 1].map(|item| queue.submit(item).wait().unwrap().unwrap()), [11, 11]);
    fs::write(&path, "20 1").unwrap();
    hot.reload(&path).unwrap();
    assert_eq!(queue.submit(1).wait().unwrap().unwrap(), 21);
}

#[test]
fn a_clone_has_settings_of_its_own_for_one_job() {
    let bulk = Bulk::new(from_fn(|number: &u64| Ok(*number))).workers(2).chunk_size(1);
    let (token, seen) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
    let count = seen.clone();
    let mut job = bulk.clone().cancel(token.clone()).progress(move |_| count.store(1, SeqCst)).map(0..u64::MAX);
    assert_eq!(job.next().unwrap().unwrap(), 0);
    token.cancel();
    let cancelled = job.filter_map(Result::err).next().unwrap();
    assert_eq!(cancelled.source.kind(), ErrorKind::Cancelled);
    assert!(seen.load(SeqCst) > 0);
    let late = bulk.clone().deadline(Duration::ZERO).map(0..10_u64);
    assert_eq!(late.filter(Result::is_ok).count(), 0);
    // Neither reaches the others.
    let before = seen.load(SeqCst);
    assert_eq!(bulk.map(0..1000_u64).filter(Result::is_ok).count(), 1000);
    assert_eq!(seen.load(SeqCst), before);
}
