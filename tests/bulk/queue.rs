//! Single submissions that share chunks.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use gristmill::{
    Error, ErrorKind, Hints, Inference, Pipeline, Result, Slots, Stage,
    bulk::{Bulk, Queue},
    from_fn,
};

/// What `work` gives, unless it hangs.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, told) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    told.recv_timeout(Duration::from_secs(30)).expect("it hangs")
}

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
    fn hints(&self) -> Hints {
        Hints::default().preferred_chunk_cost(32)
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
    let model = from_fn(move |number: &u64| {
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
    let pipeline = Pipeline::new(AddOne::default()).prepare(|text: &str| Ok(text.parse::<u64>()?));
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

#[test]
fn workers_that_wait_for_a_queue_of_their_own_pool_do_its_work() {
    for workers in [1, 2] {
        let sums = in_time(move || {
            let queue = Bulk::new(AddOne::default()).workers(workers).memory_limit(32).queue(Duration::ZERO).unwrap();
            // Four items fit; each item of the job submits more.
            let twelve = from_fn(move |number: &u64| {
                let handles: Vec<_> = (0..12).map(|_| queue.submit(*number)).collect();
                Ok(handles.into_iter().map(|handle| handle.wait().unwrap()).sum::<Result<u64, _>>()?)
            });
            Bulk::new(twelve).workers(workers).map(100..110_u64).map(Result::unwrap).collect::<Vec<_>>()
        });
        assert!(sums.into_iter().eq((100..110).map(|number| (number + 1) * 12)));
    }
}

#[test]
fn a_model_may_submit_to_its_own_queue() {
    for memory in [1 << 20, 1] {
        let result = in_time(move || {
            let own = Arc::new(OnceLock::<Queue<_, u64>>::new());
            let queue = own.clone();
            let countdown = from_fn(move |number: &u64| {
                let Some(next) = number.checked_sub(1) else { return Ok(0) };
                let queue: &Queue<_, u64> = own.get().unwrap();
                Ok(queue.submit(next).wait().unwrap()? + number)
            });
            let model: Arc<dyn Inference<Input = u64, Output = u64>> = Arc::new(countdown);
            let bulk = Bulk::new(model).workers(1).memory_limit(memory);
            queue.set(bulk.queue(Duration::ZERO).unwrap()).unwrap();
            queue.get().unwrap().submit(6).wait().unwrap().unwrap()
        });
        assert_eq!(result, 21);
    }
}

#[test]
fn where_single_items_are_the_chunk_none_waits_for_company() {
    let queue = Bulk::new(AddOne::default()).workers(1).chunk_size(1).queue(Duration::from_secs(20)).unwrap();
    let started = Instant::now();
    assert_eq!(queue.submit(1).wait().unwrap().unwrap(), 2);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn what_panics_while_it_is_woken_or_dropped_takes_nothing_along() {
    struct Alarm;
    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            panic!("not before noon");
        }
    }
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            let worker = thread::current().name().is_some_and(|name| name.starts_with("mill-worker"));
            assert!(!worker || thread::panicking(), "dropped by a worker");
        }
    }
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let door = gate.clone();
    let model = from_fn(move |_: &Loud| {
        drop(door.lock());
        Ok(Loud)
    });
    let queue = Bulk::new(model).workers(1).queue(Duration::ZERO).unwrap();
    let waker = Waker::from(Arc::new(Alarm));
    let mut woken: Vec<_> = (0..5).map(|_| Box::pin(queue.submit(Loud))).collect();
    for handle in &mut woken {
        assert!(handle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    // Of some of them nobody takes the result, and some are cancelled.
    drop(woken.pop());
    drop(closed);
    for handle in woken {
        assert!(Pin::into_inner(handle).wait().unwrap().is_ok());
    }
    (0..5).for_each(|_| drop(queue.submit(Loud)));
    assert!(queue.submit(Loud).wait().unwrap().is_ok());
}
