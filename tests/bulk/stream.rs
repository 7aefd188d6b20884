//! Jobs as streams: order, backpressure, an end for whoever lets go; without any runtime.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use futures_core::Stream;
use gristmill::{
    Error, ErrorKind, Stage,
    bulk::{Bulk, CancelToken, OnError},
    from_fn,
};

/// Wakes a thread.
struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, SeqCst);
        self.0.unpark();
    }
}

/// The next item of `stream`; the thread sleeps until it is woken, and not being woken is a failure.
fn next<St: Stream + Unpin>(stream: &mut St) -> Option<St::Item> {
    let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&unpark));
    let started = Instant::now();
    loop {
        let woken = unpark.1.load(SeqCst);
        if let Poll::Ready(item) = Pin::new(&mut *stream).poll_next(&mut Context::from_waker(&waker)) {
            return item;
        }
        while unpark.1.load(SeqCst) == woken {
            thread::park_timeout(Duration::from_secs(5));
            assert!(started.elapsed() < Duration::from_secs(60), "nobody wakes the task");
        }
    }
}

/// Numbers that a thread of its own lets out bit by bit.
struct Trickle {
    out: Arc<Mutex<(u64, Option<Waker>)>>,
    given: u64,
    end: u64,
}

impl Trickle {
    fn new(end: u64, pause: Duration) -> Self {
        let out = Arc::new(Mutex::new((0, None::<Waker>)));
        let tap = out.clone();
        thread::spawn(move || {
            for number in 1..=end {
                thread::sleep(pause);
                let mut out = tap.lock().unwrap();
                out.0 = number;
                if let Some(waker) = out.1.take() {
                    waker.wake();
                }
            }
        });
        Self { out, given: 0, end }
    }
}

impl Stream for Trickle {
    type Item = u64;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u64>> {
        if self.given == self.end {
            return Poll::Ready(None);
        }
        let shared = self.out.clone();
        let mut out = shared.lock().unwrap();
        if out.0 == self.given {
            out.1 = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.given += 1;
        Poll::Ready(Some(self.given - 1))
    }
}

/// An iterator as a stream that always has something.
struct Ready<It>(It, Arc<AtomicUsize>);

impl<It: Iterator + Unpin> Stream for Ready<It> {
    type Item = It::Item;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<It::Item>> {
        self.1.fetch_add(1, SeqCst);
        Poll::Ready(self.0.next())
    }
}

fn ready<It>(items: It) -> Ready<It> {
    Ready(items, Arc::default())
}

#[test]
fn results_come_in_order_with_their_errors() {
    for chunk in [1, 7, 1000] {
        let mut results = Bulk::new(from_fn(|&number: &u64| {
            if number % 100 == 13 { Err(Error::invalid_input("13").into()) } else { Ok(number.pow(3)) }
        }))
        .chunk_size(chunk)
        .stream(ready(0..5000_u64));
        for number in 0..5000 {
            match next(&mut results).unwrap() {
                Ok(cube) => assert_eq!(cube, number * number * number),
                Err(error) => assert_eq!((error.index as u64, number % 100), (number, 13)),
            }
        }
        assert!(next(&mut results).is_none() && next(&mut results).is_none());
        assert_eq!((results.report().items, results.report().errors), (5000, 50));
    }
}

#[test]
fn a_source_that_trickles_wakes_the_job_and_the_job_its_consumer() {
    // A chunk size that the source never fills must not hold results back.
    let slow = Bulk::new(from_fn(|&number: &u64| {
        thread::sleep(Duration::from_millis(2));
        Ok(number)
    }))
    .chunk_size(1000);
    let mut results = slow.stream(Trickle::new(30, Duration::from_millis(3)));
    for number in 0..30 {
        assert_eq!(next(&mut results).unwrap().unwrap(), number);
    }
    assert!(next(&mut results).is_none());
}

#[test]
fn no_more_is_pulled_than_there_is_room_for_and_nothing_after_the_end() {
    let bulk = Bulk::new(from_fn(|&number: &u64| Ok(number))).workers(2).window(16);
    let pulled = Arc::new(AtomicUsize::new(0));
    let mut results = bulk.stream(Ready(0_u64.., pulled.clone()));
    for number in 0..200 {
        assert_eq!(next(&mut results).unwrap().unwrap(), number);
        assert!(pulled.load(SeqCst) <= number as usize + 16 * 5, "{} at {number}", pulled.load(SeqCst));
    }
    drop(results);
    let before = pulled.load(SeqCst);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(pulled.load(SeqCst), before);
}

#[test]
fn dropping_the_stream_stops_the_work() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let bulk = Bulk::new(from_fn(move |&number: &u64| {
        counted.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(1));
        Ok(number)
    }))
    .workers(2)
    .chunk_size(1);
    let mut results = bulk.stream(ready(0_u64..));
    assert!(next(&mut results).is_some());
    drop(results);
    thread::sleep(Duration::from_millis(20));
    let before = runs.load(SeqCst);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(runs.load(SeqCst), before);
}

#[test]
fn errors_of_the_source_policies_and_a_token() {
    let bulk = Bulk::new(from_fn(|&number: &u64| Ok(number)));
    let source = ready([Ok(1), Err("torn"), Ok(3)].into_iter());
    let mut results = bulk.stream_results(source);
    assert_eq!(next(&mut results).unwrap().unwrap(), 1);
    let error = next(&mut results).unwrap().unwrap_err();
    assert_eq!((error.index, error.stage, error.source.to_string()), (1, Stage::Read, "torn".to_owned()));
    assert_eq!(next(&mut results).unwrap().unwrap(), 3);

    let bulk = Bulk::new(from_fn(|&number: &u64| Ok(number))).on_error(OnError::FailFast);
    let mut results = bulk.stream_results(ready([Ok(1), Err("torn"), Ok(3)].into_iter()));
    assert!(next(&mut results).unwrap().is_ok() && next(&mut results).unwrap().is_err());
    assert!(next(&mut results).is_none());

    let token = CancelToken::new();
    let bulk = Bulk::new(from_fn(|&number: &u64| {
        thread::sleep(Duration::from_millis(1));
        Ok(number)
    }))
    .cancel(token.clone());
    let mut results = pin!(bulk.stream(ready(0_u64..)));
    assert!(next(&mut results).is_some());
    token.cancel();
    let mut cancelled = 0;
    while let Some(result) = next(&mut results) {
        cancelled += usize::from(result.is_err_and(|error| error.source.kind() == ErrorKind::Cancelled));
    }
    assert!(cancelled > 0);
}
