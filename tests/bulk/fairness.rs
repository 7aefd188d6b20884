//! Jobs, queues and callers that share the workers: each gets its turns beside a job that never
//! ends.
//!
//! Models sleep instead of computing: then only the workers are scarce, and a busy machine disturbs
//! less.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use gristmill::{Inference, Result, Slots, bulk::Bulk, from_fn};

#[cfg(feature = "hugging-face")]
use crate::support::data;
use crate::support::watchdog::Watchdog;

/// Pools of the worker count are shared by the process: one test at a time has them.
fn alone() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A model of which each item takes that long.
fn sleeping(time: Duration) -> impl Inference<Input = u64, Output = u64> {
    from_fn(move |number: &u64| {
        thread::sleep(time);
        Ok(*number)
    })
}

/// Consumes a job on a thread of its own until it is stopped; counts its results.
struct Background {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Background {
    fn start<M: Inference<Input = u64> + 'static>(bulk: Bulk<gristmill::bulk::Plain<M>>) -> Self
    where
        M::Output: 'static,
    {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (stop.clone(), done.clone());
        let thread = thread::spawn(move || {
            for result in bulk.map(0_u64..) {
                assert!(result.is_ok());
                count.fetch_add(1, SeqCst);
                if stopped.load(SeqCst) {
                    return;
                }
            }
        });
        let background = Self { stop, done, thread: Some(thread) };
        background.wait_for(20);
        background
    }

    fn done(&self) -> usize {
        self.done.load(SeqCst)
    }

    fn wait_for(&self, count: usize) {
        while self.done() < count {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Results in the given time.
    fn progress(&self, time: Duration) -> usize {
        let before = self.done();
        thread::sleep(time);
        self.done() - before
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let joined = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || joined.is_none_or(|joined| joined.is_ok()));
    }
}

/// The times of `count` calls.
fn times(count: usize, mut call: impl FnMut()) -> Vec<Duration> {
    let time = |_| {
        let started = Instant::now();
        call();
        started.elapsed()
    };
    let mut times: Vec<_> = (0..count).map(time).collect();
    times.sort_unstable();
    times
}

/// On a quiet machine the median is 15 ms at most and the worst 60 ms; a busy one gets ten times as
/// long. A caller that is starved waits for ever.
fn check(name: &str, times: &[Duration]) {
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{name}: {} answers, median {median:.1?}, worst {worst:.1?}", times.len());
    assert!(median < Duration::from_millis(150) && worst < Duration::from_millis(600), "{name}: {times:?}");
}

#[test]
fn callers_beside_an_endless_job_are_answered() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60), "callers beside an endless job".into());
    let job = Background::start(Bulk::new(sleeping(Duration::from_millis(1))));
    let bulk = Bulk::new(sleeping(Duration::from_millis(1)));
    let queue = bulk.queue(Duration::from_millis(1)).unwrap();
    check("a queue", &times(20, || assert_eq!(queue.submit(1).wait().unwrap().unwrap(), 1)));
    check("a job", &times(20, || assert!(bulk.map([1_u64, 2]).all(|result| result.is_ok()))));
    check("an unordered job", &times(20, || assert_eq!(bulk.map_unordered([1_u64, 2]).count(), 2)));
    check("a job over borrowed items", &times(20, || assert!(bulk.run(&[1_u64, 2]).0.iter().all(Result::is_ok))));
    let before = job.done();
    job.wait_for(before + 50);
}

#[cfg(feature = "onnx")]
#[test]
fn single_runs_beside_an_endless_job_are_answered() {
    use gristmill::{DType, Device, Model, SessionOptions, Tensor, Tensors};

    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60), "single runs beside an endless job".into());
    let model = include_bytes!("../../examples/models/magika/model.onnx");
    let load = || Model::from_bytes(model).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    let (session, input) = (load(), Tensor::zeros(DType::I32, [1, 2048]).unwrap());
    let input = Tensors::from([("bytes", input)]);
    check("a single run, alone", &times(20, || drop(session.run(&input).unwrap())));
    let job = Background::start(Bulk::new(sleeping(Duration::from_millis(1))));
    check("loading", &times(3, || drop(load())));
    check("a single run", &times(20, || drop(session.run(&input).unwrap())));
    let before = job.done();
    job.wait_for(before + 50);
}

#[cfg(feature = "hugging-face")]
#[test]
fn embedding_beside_an_endless_job_is_answered() {
    use gristmill::{Device, text::Embedder};

    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(120), "embedding beside an endless job".into());
    let embedder = Embedder::open(data::data("minilm"), Device::Cpu).unwrap();
    let _job = Background::start(Bulk::new(sleeping(Duration::from_millis(1))));
    check("embedding a text", &times(20, || assert_eq!(embedder.embed(&["a text"]).unwrap().len(), 1)));
}

#[test]
fn two_jobs_progress_by_their_shares() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60), "two jobs".into());
    // A sleep takes longer than it says, short ones above all: what counts is the time that it took.
    let timed = |milliseconds: u64, spent: &Arc<AtomicU64>| {
        let spent = Arc::clone(spent);
        let model = from_fn(move |number: &u64| {
            let started = Instant::now();
            thread::sleep(Duration::from_millis(milliseconds));
            spent.fetch_add(started.elapsed().as_micros() as u64, SeqCst);
            Ok(*number)
        });
        Bulk::new(model).workers(2)
    };
    // Items of one are longer, and fewer in a turn.
    let shares = |share: u32| {
        let spent = [Arc::default(), Arc::default()];
        let _short = Background::start(timed(1, &spent[0]));
        let _long = Background::start(timed(4, &spent[1]).share(share));
        let now = || spent.each_ref().map(|spent| spent.load(SeqCst));
        let before = now();
        thread::sleep(Duration::from_secs(2));
        let after = now();
        let [short, long] = [0, 1].map(|job| (after[job] - before[job]) as f64);
        println!("share {share}: {short} us of short items, {long} us of long ones");
        long / short
    };
    // Equal shares within a fifth.
    let equal = shares(1);
    assert!((0.8..1.25).contains(&equal), "{equal}");
    let triple = shares(3);
    assert!((2.2..4.0).contains(&triple), "{triple}");
}

#[test]
fn a_handler_beside_a_long_job_stays_quick_and_the_job_nearly_as_fast() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60), "a handler beside a job".into());
    let job = Background::start(Bulk::new(sleeping(Duration::from_millis(3))).workers(2));
    let alone = job.progress(Duration::from_secs(2));
    let queue = Bulk::new(sleeping(Duration::from_millis(3))).workers(2).queue(Duration::from_millis(1)).unwrap();
    let before = job.done();
    let started = Instant::now();
    // Twenty requests a second, from four connections.
    let mut waits: Vec<Duration> = thread::scope(|scope| {
        let handlers: Vec<_> = (0..4)
            .map(|handler| {
                let queue = &queue;
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(50 * handler));
                    let request = || {
                        let started = Instant::now();
                        queue.submit(1).wait().unwrap().unwrap();
                        let took = started.elapsed();
                        thread::sleep(Duration::from_millis(200).saturating_sub(took));
                        took
                    };
                    (0..10).map(|_| request()).collect::<Vec<_>>()
                })
            })
            .collect();
        handlers.into_iter().flat_map(|handler| handler.join().unwrap()).collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let beside = (job.done() - before) as f64 / seconds * 2.0 / alone as f64;
    waits.sort_unstable();
    let p95 = waits[waits.len() * 95 / 100];
    println!("a handler: p95 {p95:.1?} of {}; the job {beside:.2} x as fast as alone", waits.len());
    assert!(p95 < Duration::from_millis(120), "{waits:?}");
    assert!(beside > 0.85, "{beside}");
}

/// Remembers the longest of its chunks, whose calls have a price that makes long chunks pay.
#[derive(Default)]
struct Pricey(Mutex<Vec<Duration>>);

impl Inference for Pricey {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        let time = Duration::from_millis(4) + Duration::from_micros(100) * chunk.len() as u32;
        thread::sleep(time);
        self.0.lock().unwrap().push(time);
        (0..chunk.len()).for_each(|place| out.set(place, *chunk[place]));
        Ok(())
    }
}

#[test]
fn chunks_are_short_while_somebody_waits() {
    let _alone = alone();
    let _watchdog = Watchdog::new(Duration::from_secs(60), "chunks while somebody waits".into());
    let longest = |model: &Pricey| {
        let times = std::mem::take(&mut *model.0.lock().unwrap());
        let mut times = times[times.len().min(8)..].to_vec();
        times.sort_unstable();
        times[times.len() * 9 / 10]
    };
    for (bound, most) in [(None, 30), (Some(8), 16)] {
        let model = Arc::new(Pricey::default());
        let mut bulk = Bulk::new(model.clone()).workers(2);
        if let Some(bound) = bound {
            bulk = bulk.turn_time(Duration::from_millis(bound));
        }
        let job = Background::start(bulk);
        job.progress(Duration::from_secs(1));
        let alone = longest(&model);
        assert!(alone > Duration::from_millis(30), "{alone:?}");
        let other = Background::start(Bulk::new(sleeping(Duration::from_millis(1))).workers(2));
        job.progress(Duration::from_millis(500));
        let beside = longest(&model);
        println!("chunks of {alone:?} alone, of {beside:?} beside another job");
        assert!(beside < Duration::from_millis(most), "{beside:?}");
        drop(other);
    }
}
