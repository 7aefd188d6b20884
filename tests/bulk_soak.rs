//! A long run: millions of tiny items, one in a hundred failing, a consumer that pauses now and then, a model that is
//! replaced under way. `GRISTMILL_FULL=1` runs ten times as much.

#[path = "support/watchdog.rs"]
mod watchdog;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use gristmill::{
    Description, Error, Inference, Result, Slots,
    bulk::{Bulk, Hot},
};
use watchdog::Watchdog;

/// Changes a number by its version, and fails for one in a hundred.
struct Tiny {
    version: u64,
    ran: Arc<AtomicUsize>,
}

impl Inference for Tiny {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        self.ran.fetch_add(chunk.len(), SeqCst);
        for (place, &&number) in chunk.iter().enumerate() {
            if is_unlucky(number) {
                out.fail(place, Error::user("unlucky"));
            } else {
                out.set(place, number ^ self.version);
            }
        }
        Ok(())
    }
    fn describe(&self) -> Description {
        let mut description = Description::default();
        description.model_fingerprint = self.version.to_string().into();
        description
    }
}

/// The finalizer of SplitMix64.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn is_unlucky(number: u64) -> bool {
    mix(number).is_multiple_of(100)
}

/// Bytes resident now, where the system tells.
fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}

#[test]
fn a_long_run_loses_nothing_and_stays_small() {
    const JOBS: u64 = 4;
    let full = std::env::var_os("GRISTMILL_FULL").is_some();
    let count: u64 = if full { 2_500_000 } else { 250_000 };
    let _watchdog = Watchdog::new(Duration::from_secs(if full { 600 } else { 120 }), "the soak".into());
    let ran = Arc::new(AtomicUsize::new(0));
    let on_load = ran.clone();
    // The version is the path's: there is nothing to read.
    let load = move |path: &Path| {
        let version = path.to_string_lossy().parse().map_err(Error::user)?;
        Ok(Tiny { version, ran: on_load.clone() })
    };
    let hot = Arc::new(Hot::open("1", load, |_| "a number to a number".into()).unwrap());
    let bulk = Bulk::hot(hot.clone()).workers(4);
    let started = Instant::now();
    let (mut farthest, mut settled, mut largest) = (0, None, 0);
    for version in 1..=JOBS {
        let first = (version - 1) * count;
        let mut results = bulk.map(first..first + count);
        let (mut next, mut errors) = (first, 0);
        let mut swap = None;
        for result in results.by_ref() {
            match result {
                Ok(output) => assert_eq!(output, next ^ version),
                Err(error) => {
                    assert_eq!((error.index as u64, is_unlucky(next)), (next - first, true));
                    errors += 1;
                }
            }
            if mix(next).is_multiple_of(20_011) {
                thread::sleep(Duration::from_millis(mix(next) % 7));
                farthest = farthest.max(ran.load(SeqCst) as u64 - next);
            }
            if next % 50_000 == 0 {
                let resident = resident_bytes().unwrap_or(0);
                // By the middle of the first job all that is made on first need is there.
                if next - first > count / 2 {
                    settled.get_or_insert(resident);
                }
                largest = largest.max(resident);
            }
            next += 1;
            if next - first == count / 3 && version < JOBS {
                let hot = hot.clone();
                swap = Some(thread::spawn(move || hot.reload((version + 1).to_string())));
            }
        }
        let report = results.report();
        assert_eq!(errors, (first..first + count).filter(|&number| is_unlucky(number)).count());
        assert_eq!((next - first, report.items as u64, report.errors), (count, count, errors));
        assert_eq!(report.model_fingerprint.as_str(), version.to_string());
        if let Some(swap) = swap {
            assert_eq!(swap.join().unwrap().unwrap(), version + 1);
        }
    }
    assert_eq!((ran.load(SeqCst) as u64, hot.version()), (JOBS * count, JOBS));
    // What is ahead of the consumer does not depend on how much there is in all. A few windows may be: one being
    // filled, those under way, and results that wait for an earlier chunk.
    assert!(farthest <= 8 * 16_384, "{farthest} items ahead");
    let settled = settled.unwrap_or(0);
    println!(
        "{} items in {:.1} s, {farthest} ahead at most, {:.1} MB resident halfway through the first job, {:.1} MB at most",
        JOBS * count,
        started.elapsed().as_secs_f64(),
        settled as f64 / 1e6,
        largest as f64 / 1e6
    );
    // The windows' worth ahead, more or less of it; not the millions that went by.
    assert!(largest <= settled + (32 << 20), "{settled} bytes resident grew to {largest}");
}
