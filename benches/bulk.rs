//! The price of the bulk runtime: an item that does nothing, against loops written by hand; and the chunk size that is
//! chosen against the best of a sweep, for six workloads, of which the models' need `tests/setup.sh`.
//!
//! `cargo bench --bench bulk` prints both; `cargo bench --bench bulk -- sweep` only the sweep.

#[cfg(feature = "onnx")]
#[path = "../examples/identify/features.rs"]
mod features;
#[cfg(feature = "onnx")]
#[path = "../examples/identify/identifier.rs"]
mod identifier;
#[cfg(feature = "onnx")]
#[path = "../examples/identify/labels.rs"]
mod labels;

use std::{
    collections::BTreeMap,
    env,
    hint::black_box,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::{Duration, Instant},
};

#[cfg(any(feature = "onnx", feature = "hugging-face"))]
use std::{fs, path::PathBuf};

use gristmill::{
    Error, Inference, Result, Slots,
    bulk::{Bulk, Staged, Stages},
};
use rayon::prelude::*;

const ITEMS: u64 = 1_000_000;

/// A model whose items cost next to nothing.
struct Nothing;

impl Inference for Nothing {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        for (place, &&number) in chunk.iter().enumerate() {
            out.set(place, number + 1);
        }
        Ok(())
    }
}

/// What one would write without the runtime, for the same model: batches of the source, split over rayon, put back
/// in order; no word on failures, memory or the chunk size.
fn by_hand(items: impl Iterator<Item = u64>) -> u64 {
    let mut items = items.fuse();
    let mut sum = 0;
    loop {
        let batch: Vec<u64> = items.by_ref().take(65_536).collect();
        if batch.is_empty() {
            return sum;
        }
        let run = |chunk: &[u64]| {
            let inputs: Vec<&u64> = chunk.iter().collect();
            let mut slots: Vec<Option<Result<u64>>> = Vec::new();
            slots.resize_with(chunk.len(), || None);
            Nothing.infer(&inputs, &mut Slots::new(&mut slots)).map(|()| slots)
        };
        let chunks: Result<Vec<_>> = batch.par_chunks(4096).map(run).collect();
        sum += chunks.into_iter().flatten().flatten().flatten().flatten().sum::<u64>();
    }
}

/// What one would write to stream: owned items in chunks to rayon, a `Result` for each item, a panic caught, chunks
/// put back in order as they come, a bounded number of them under way. No word on bytes, cancelling or the chunk size.
fn by_hand_streamed(items: impl Iterator<Item = u64>) -> u64 {
    const CHUNK: usize = 4096;
    let under_way = 4 * rayon::current_num_threads();
    let (done, results) = mpsc::channel::<(usize, Vec<Result<u64>>)>();
    let run = |chunk: &[u64]| {
        let inputs: Vec<&u64> = chunk.iter().collect();
        let mut slots: Vec<Option<Result<u64>>> = Vec::new();
        slots.resize_with(chunk.len(), || None);
        let ran = catch_unwind(AssertUnwindSafe(|| Nothing.infer(&inputs, &mut Slots::new(&mut slots))));
        let failed = || Err(Error::user("a chunk failed"));
        match ran {
            Ok(Ok(())) => slots.into_iter().map(|slot| slot.unwrap_or_else(failed)).collect::<Vec<_>>(),
            _ => chunk.iter().map(|_| failed()).collect(),
        }
    };
    rayon::in_place_scope(|scope| {
        let mut items = items.fuse();
        let (mut sent, mut next, mut sum) = (0, 0, 0);
        let mut waiting = BTreeMap::new();
        loop {
            while sent - next < under_way {
                let chunk: Vec<u64> = items.by_ref().take(CHUNK).collect();
                if chunk.is_empty() {
                    break;
                }
                let (done, number) = (done.clone(), sent);
                scope.spawn(move |_| {
                    // Nobody listens only after a panic of the consumer.
                    let _ = done.send((number, run(&chunk)));
                });
                sent += 1;
            }
            if next == sent {
                return sum;
            }
            let Ok((number, results)) = results.recv() else { return sum };
            waiting.insert(number, results);
            while let Some(results) = waiting.remove(&next) {
                sum += results.into_iter().map(|result| result.unwrap_or(0)).sum::<u64>();
                next += 1;
            }
        }
    })
}

fn mapped(bulk: &Bulk<gristmill::bulk::Plain<Nothing>>) -> u64 {
    bulk.map(0..black_box(ITEMS)).map(|result| result.unwrap_or(0)).sum()
}

/// All in turns, so that a busy machine is as bad for each.
fn nothing_in_turns() {
    let bulk = Bulk::new(Nothing);
    let items: Vec<u64> = (0..ITEMS).collect();
    let calls: [(&str, &dyn Fn() -> u64); 4] = [
        ("map", &|| mapped(&bulk)),
        ("run", &|| bulk.run(black_box(&items)).0.into_iter().map(|result| result.unwrap_or(0)).sum()),
        ("by hand, streamed", &|| by_hand_streamed(0..black_box(ITEMS))),
        ("by hand, in batches", &|| by_hand(0..black_box(ITEMS))),
    ];
    let times = in_turns(15, calls.len(), |call| {
        assert_eq!((calls[call].1)(), ITEMS * (ITEMS + 1) / 2);
    });
    println!("\na million items of nothing, medians of runs in turns:");
    for ((name, _), time) in calls.iter().zip(&times) {
        let each = time.as_secs_f64() * 1e9 / ITEMS as f64;
        println!("{name:<20} {each:>7.1} ns an item; map takes {:.2} x as long", times[0].div_duration_f64(*time));
    }
}

/// Runs `calls` calls in turns, `rounds` times; the median time of each.
fn in_turns(rounds: usize, calls: usize, call: impl Fn(usize)) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); calls];
    for _ in 0..rounds {
        for (number, times) in times.iter_mut().enumerate() {
            let started = Instant::now();
            call(number);
            times.push(started.elapsed());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

/// A model that works for a time that follows from its items' costs.
#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    items: usize,
    cost: fn(usize) -> u64,
    /// Steps of work that a call takes, given its items' costs.
    steps: fn(&[u64]) -> u64,
}

struct Working(Workload);

impl Inference for Working {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        let costs: Vec<u64> = chunk.iter().map(|&&cost| cost).collect();
        work((self.0.steps)(&costs));
        costs.iter().enumerate().for_each(|(place, &cost)| out.set(place, cost));
        Ok(())
    }
    fn cost(&self, input: &u64) -> u64 {
        *input
    }
}

/// Works for about a nanosecond a step.
fn work(steps: u64) {
    let mut state = 1_u64;
    for step in 0..steps {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
    }
}

const WORKLOADS: [Workload; 3] = [
    Workload { name: "tiny, alike", items: 400_000, cost: |_| 1, steps: |costs| costs.len() as u64 * 200 },
    Workload {
        name: "skewed 1:1000",
        items: 20_000,
        cost: |index| if index % 100 == 50 { 1000 } else { 1 },
        steps: |costs| costs.iter().sum::<u64>() * 500,
    },
    Workload {
        name: "one huge, last",
        items: 20_001,
        cost: |index| if index == 20_000 { 4000 } else { 1 },
        steps: |costs| costs.iter().sum::<u64>() * 5000,
    },
];

/// A workload with the chunk size chosen, and with fixed ones: first a sweep finds the best fixed size, then that
/// and the choice run in turns, so that the best is not the luckiest.
fn compare<S, I>(name: &str, items: &[I], bulk: impl Fn() -> Bulk<S>)
where
    S: Stages<I> + Staged + 'static,
    I: Clone + Send + 'static,
{
    let sizes: Vec<usize> = (0..8).map(|power| 1 << (2 * power)).filter(|&size| size <= items.len()).collect();
    let run = |bulk: Bulk<S>| {
        assert_eq!(bulk.map(items.to_vec()).filter(Result::is_ok).count(), items.len(), "{name}: items failed");
    };
    let fixed: Vec<Duration> = in_turns(3, sizes.len(), |number| run(bulk().chunk_size(sizes[number])));
    let (_, &best) = fixed.iter().zip(&sizes).min().expect("one size at least");
    let times = in_turns(7, 2, |number| run(if number == 0 { bulk() } else { bulk().chunk_size(best) }));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let ratio = times[0].div_duration_f64(times[1]);
    println!("{name:<22} {:>10.1} {:>10.1} {best:>8} {ratio:>8.2}", ms(times[0]), ms(times[1]));
}

fn sweep() {
    println!("\n{:<22} {:>10} {:>10} {:>8} {:>8}", "workload", "auto ms", "best ms", "at", "ratio");
    for workload in WORKLOADS {
        let costs: Vec<u64> = (0..workload.items).map(workload.cost).collect();
        compare(workload.name, &costs, || Bulk::new(Working(workload)));
    }
    #[cfg(feature = "onnx")]
    sweep_magika();
    #[cfg(feature = "hugging-face")]
    sweep_texts();
}

#[cfg(feature = "onnx")]
fn sweep_magika() {
    use gristmill::{Device, SessionOptions};
    // The crate's own sources stand for a folder of files.
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let entries = fs::read_dir(sources).expect("the sources are there").flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    let identifier = identifier::Identifier::load(&SessionOptions::on(Device::Cpu)).expect("the model is bundled");
    let pipeline = std::sync::Arc::new(identifier.pipeline());
    compare("magika", &paths, || Bulk::pipeline(pipeline.clone()));
}

#[cfg(feature = "hugging-face")]
fn sweep_texts() {
    use gristmill::{Device, text::Embedder};
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let data = env::var_os("GRISTMILL_TEST_DATA").map_or_else(default, PathBuf::from);
    let (embedder, glosses) =
        match (Embedder::open(data.join("minilm"), Device::Cpu), fs::read_to_string(data.join("glosses.txt"))) {
            (Ok(embedder), Ok(glosses)) => (embedder, glosses),
            _ => {
                println!("MiniLM: skipped, {} is missing: run tests/setup.sh", data.display());
                return;
            }
        };
    let lines: Vec<&str> = glosses.lines().collect();
    let short: Vec<String> = lines.iter().take(256).map(|&line| line.to_owned()).collect();
    compare("MiniLM, short texts", &short, || embedder.bulk());
    // Of one gloss, to a dozen of them.
    let mixed = (0..96).map(|index| lines[index * 12..][..1 + index * 7 % 12].join(" "));
    compare("MiniLM, mixed lengths", &mixed.collect::<Vec<_>>(), || embedder.bulk());
}

fn main() {
    // `cargo test --benches` asks for nothing that takes time.
    if !env::args().any(|arg| arg == "--bench") {
        return;
    }
    // The loops by hand use rayon's own pool; it is as wide as ours.
    if !env::args().any(|arg| arg == "sweep") {
        nothing_in_turns();
    }
    sweep();
}
