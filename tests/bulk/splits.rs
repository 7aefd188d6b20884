//! A chunk that is split over idle workers is not held back by what these take up meanwhile.

use std::{
    sync::mpsc::{Receiver, channel},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use gristmill::{Inference, Result, Slots, bulk::Bulk};

/// Item 0 takes a while; any other waits until the consumer has seen the result of item 0.
struct Waits(Mutex<Receiver<()>>);

impl Inference for Waits {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        for (place, &&number) in chunk.iter().enumerate() {
            match number {
                0 => thread::sleep(Duration::from_millis(20)),
                _ => _ = self.0.lock().unwrap().recv_timeout(Duration::from_secs(10)),
            }
            out.set(place, number);
        }
        Ok(())
    }
}

#[test]
fn a_result_does_not_wait_for_chunks_that_came_later() {
    // The second item is to come while the workers stand by for the first.
    for (workers, delay) in (0..12).map(|turn| (2 + turn % 2, Duration::from_micros(50 * turn as u64))) {
        let (seen, sees) = channel();
        let bulk = Bulk::new(Arc::new(Waits(Mutex::new(sees)))).workers(workers).chunk_size(1).window(1);
        let items = (0..2).inspect(|&number| {
            if number == 1 {
                let started = Instant::now();
                while started.elapsed() < delay {
                    std::hint::spin_loop();
                }
            }
        });
        let started = Instant::now();
        let mut results = bulk.map(items);
        assert_eq!(results.next().unwrap().unwrap(), 0);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?} with {workers} workers", started.elapsed());
        seen.send(()).unwrap();
        assert_eq!(results.next().unwrap().unwrap(), 1);
    }
}
