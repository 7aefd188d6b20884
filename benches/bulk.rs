//! The price of the bulk runtime: an item that does nothing, against a loop written by hand; and the chunk size
//! that is chosen against the best of a sweep.
//!
//! `cargo bench --bench bulk` prints both; `cargo bench --bench bulk -- sweep` only the sweep.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use gristmill::{Inference, Result, Slots, bulk::Bulk};
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

fn nothing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a million items of nothing");
    group.throughput(Throughput::Elements(ITEMS)).sample_size(10).measurement_time(Duration::from_secs(3));
    let bulk = Bulk::new(Nothing);
    group.bench_function("map", |bench| {
        bench.iter(|| bulk.map(0..black_box(ITEMS)).map(|result| result.unwrap_or(0)).sum::<u64>());
    });
    let items: Vec<u64> = (0..ITEMS).collect();
    group.bench_function("run", |bench| bench.iter(|| bulk.run(black_box(&items)).0.len()));
    group.bench_function("by hand", |bench| bench.iter(|| by_hand(0..black_box(ITEMS))));
    group.finish();
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

const WORKLOADS: [Workload; 6] = [
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
    Workload { name: "costly calls", items: 20_000, cost: |_| 1, steps: |costs| 300_000 + costs.len() as u64 * 5000 },
    Workload { name: "slow, alike", items: 200, cost: |_| 1, steps: |costs| costs.len() as u64 * 1_000_000 },
    Workload {
        name: "padded, mixed",
        items: 20_000,
        cost: |index| 8 + (index as u64 * 7919) % 248,
        steps: |costs| 20_000 + costs.len() as u64 * costs.iter().max().unwrap_or(&0) * 40,
    },
];

/// Each workload with the chunk size chosen, and with fixed ones; the best of a few interleaved runs of each.
fn sweep() {
    const ROUNDS: usize = 3;
    let sizes: Vec<usize> = (0..16).map(|power| 1 << power).collect();
    println!("\n{:<16} {:>10} {:>10} {:>8} {:>8}", "workload", "auto ms", "best ms", "at", "ratio");
    for workload in WORKLOADS {
        let costs: Vec<u64> = (0..workload.items).map(workload.cost).collect();
        let time = |chunk: Option<usize>| {
            let bulk = Bulk::new(Working(workload));
            let bulk = if let Some(items) = chunk { bulk.chunk_size(items) } else { bulk };
            let started = Instant::now();
            assert_eq!(bulk.map(costs.clone()).filter(Result::is_ok).count(), workload.items);
            started.elapsed()
        };
        let mut auto = Duration::MAX;
        let mut fixed = vec![Duration::MAX; sizes.len()];
        for _ in 0..ROUNDS {
            for (best, &size) in fixed.iter_mut().zip(&sizes).filter(|(_, size)| **size <= workload.items) {
                *best = time(Some(size)).min(*best);
                // As often as all the others together would be unfair; as rarely as one of them, too.
                if size.ilog2() % 5 == 2 {
                    auto = time(None).min(auto);
                }
            }
        }
        let (best, size) = fixed.into_iter().zip(sizes.iter()).min().expect("there are sizes");
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let ratio = ms(auto) / ms(best);
        println!("{:<16} {:>10.1} {:>10.1} {size:>8} {ratio:>8.2}", workload.name, ms(auto), ms(best));
    }
}

fn main() {
    // The loop by hand uses rayon's own pool; it is as wide as ours.
    let only_sweep = std::env::args().any(|arg| arg == "sweep");
    if !only_sweep {
        let mut criterion = Criterion::default().configure_from_args();
        nothing(&mut criterion);
        criterion.final_summary();
    }
    // `cargo test --benches` asks for a quick look only.
    if !std::env::args().any(|arg| arg == "--test") {
        sweep();
    }
}
