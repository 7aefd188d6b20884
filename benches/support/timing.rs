//! A timing loop: the median of a few samples and the least, a line each.
//!
//! Words on the command line are parts of names, of which a measured one has at least one. Without cargo's own
//! `--bench`, as under `cargo test --benches`, everything runs once and nothing is measured.

use std::{
    env,
    hint::black_box,
    time::{Duration, Instant},
};

const SAMPLES: u32 = 10;

pub struct Timing {
    parts: Vec<String>,
    once: bool,
}

impl Timing {
    /// As the command line asks for it.
    pub fn from_args() -> Self {
        let (flags, parts): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word.starts_with('-'));
        let once = !flags.iter().any(|flag| flag == "--bench");
        if !once {
            println!("{:>12} {:>12} {:>12}", "median", "least", "items/s");
        }
        Self { parts, once }
    }

    /// Measures a call, of which each takes so many items, for about `time` after a tenth of it to warm up.
    pub fn measure<R>(&self, name: &str, items: usize, time: Duration, mut call: impl FnMut() -> R) {
        if !self.parts.is_empty() && !self.parts.iter().any(|part| name.contains(part.as_str())) {
            return;
        }
        let mut seconds = |calls: u32| {
            let started = Instant::now();
            (0..calls).for_each(|_| drop(black_box(call())));
            started.elapsed().as_secs_f64() / f64::from(calls)
        };
        if self.once {
            seconds(1);
            return;
        }
        let (warming, mut calls) = (Instant::now(), 1);
        let one = loop {
            let one = seconds(calls);
            if warming.elapsed() * 10 >= time {
                break one;
            }
            calls *= 2;
        };
        let calls = (time.as_secs_f64() / f64::from(SAMPLES) / one).clamp(1.0, 1e9) as u32;
        let mut samples: Vec<f64> = (0..SAMPLES).map(|_| seconds(calls)).collect();
        samples.sort_by(f64::total_cmp);
        let median = samples[samples.len() / 2];
        let told = |seconds: f64| format!("{:.3?}", Duration::from_secs_f64(seconds));
        println!("{:>12} {:>12} {:>12.1}  {name}", told(median), told(samples[0]), items as f64 / median);
    }
}
