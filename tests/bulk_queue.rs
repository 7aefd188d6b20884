//! Single submissions that share chunks.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use gristmill::{
    Error, ErrorKind, Inference, Pipeline, Result, Shared, Slots, Stage,
    bulk::{Bulk, Queue},
};

/// Adds one, and remembers the sizes of its chunks.
#[derive(Default)]
struct AddOne(Mutex<Vec<usize>>);

impl Inference for AddOne {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        self.0.lock().unwrap().push(chunk.len());
        thread::sleep(Duration::from_millis(2));
        for (place, &&number) in chunk.iter().enumerate() {
            if number == 13 {
                return Err(Error::invalid_input("thirteen"));
            }
            out.set(place, number + 1);
        }
        Ok(())
    }
    fn preferred_chunk_cost(&self) -> Option<u64> {
        Some(32)
    }
}

#[test]
fn each_submission_gets_its_own_answer_and_chunks_are_shared() {
    let model = Arc::new(AddOne::default());
    let queue = Arc::new(Bulk::new(model.clone()).workers(2).queue(Duration::from_millis(5)).unwrap());
    let threads: Vec<_> = (0..8_u64)
        .map(|thread| {
            let queue = queue.clone();
            thread::spawn(move || {
                let handles: Vec<_> = (0..100).map(|n| (thread * 1000 + n, queue.submit(thread * 1000 + n))).collect();
                for (number, handle) in handles {
                    match handle.wait().unwrap() {
                        Ok(answer) => assert_eq!(answer, number + 1),
                        Err(error) => assert_eq!((number, error.stage), (13, Stage::Run), "{error}"),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let chunks = model.0.lock().unwrap();
    assert!(chunks.len() < 300, "{} chunks for 800 items", chunks.len());
    assert!(chunks.iter().all(|&items| items <= 32));
}

#[test]
fn a_lone_item_waits_no_longer_than_stated() {
    let queue = Bulk::new(AddOne::default()).workers(1).queue(Duration::from_millis(50)).unwrap();
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(queue.submit(1).wait().unwrap().unwrap(), 2);
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}

#[test]
fn what_has_not_begun_can_be_cancelled_and_a_dropped_queue_ends_its_work() {
    let (gate, opened) = mpsc::channel::<()>();
    let opened = Mutex::new(opened);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let model = Shared::new(move |number: &u64| {
        if *number == 0 {
            opened.lock().unwrap().recv().unwrap();
        }
        count.fetch_add(1, SeqCst);
        Ok(*number)
    });
    let queue: Queue<_, u64> = Bulk::new(model).workers(1).chunk_size(1).queue(Duration::ZERO).unwrap();
    let mut first = queue.submit(0);
    assert!(first.poll_now().is_none() && !first.is_done());
    let (cancelled, kept) = (queue.submit(1), queue.submit(2));
    drop(queue.submit(3));
    cancelled.cancel();
    drop(queue);
    gate.send(()).unwrap();
    assert_eq!(first.wait().unwrap().unwrap(), 0);
    let error = cancelled.wait().unwrap().unwrap_err();
    assert_eq!((error.index, error.source.kind()), (1, ErrorKind::Cancelled));
    assert_eq!(kept.wait().unwrap().unwrap(), 2);
    assert_eq!(ran.load(SeqCst), 2);
}

#[test]
fn a_handle_is_a_future() {
    struct Flag(thread::Thread);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let pipeline = Pipeline::new(AddOne::default()).prepare(|text: &str| text.parse::<u64>().map_err(Error::user));
    let queue = Bulk::pipeline(pipeline).queue::<String>(Duration::from_millis(1)).unwrap();
    let waker = Waker::from(Arc::new(Flag(thread::current())));
    for (text, answer) in [("41", Some(42)), ("x", None)] {
        let mut handle = Box::pin(queue.submit(text.to_owned()));
        let result = loop {
            match handle.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => break result,
                Poll::Pending => thread::park_timeout(Duration::from_secs(10)),
            }
        };
        assert_eq!(result.as_ref().ok(), answer.as_ref());
        assert!(result.is_ok() || result.is_err_and(|error| error.stage == Stage::Prepare));
    }
}

#[test]
fn submitting_waits_for_room() {
    let queue: Queue<_, u64> = Bulk::new(AddOne::default()).workers(1).memory_limit(80).queue(Duration::ZERO).unwrap();
    let started = Instant::now();
    let handles: Vec<_> = (100..200).map(|number| queue.submit(number)).collect();
    // Ten items of eight bytes fit; each chunk takes two milliseconds.
    assert!(started.elapsed() >= Duration::from_millis(10), "{:?}", started.elapsed());
    assert!(handles.into_iter().all(|handle| handle.wait().unwrap().is_ok()));
}
