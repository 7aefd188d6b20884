//! A process pool ported to threads: one slow-loading model per worker, one bad input, results in order.
//!
//! In the original, a model that takes 1.5 s to load and 0.8 s per item runs over the inputs 10, 5, 3, 2, 1 in eight
//! worker processes. Here the workers are threads: the models load in parallel on first use, no more of them than items.
//!
//! ```text
//! cargo run --release --example process_pool
//! cargo run --release --example process_pool -- --workers 1      # one worker, for debugging
//! cargo run --release --example process_pool -- 4 oops 6 13      # inputs of your own
//! ```

mod common;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use common::{Common, Flag, Outcome, failure::whole, one_line, say};
use gristmill::{Error, PerWorker, Pipeline, Result, bulk::Bulk};
use lexopt::Parser;

const LOADING: Duration = Duration::from_millis(1500);
const WORKING: Duration = Duration::from_millis(800);

/// Stands for a model that is large, slow, and cannot be shared between threads.
struct Model {
    worker: usize,
}

impl Model {
    fn load(worker: usize) -> Self {
        thread::sleep(LOADING);
        say!("mill-worker-{worker}: model loaded");
        Self { worker }
    }

    fn cube(&mut self, number: i64) -> Result<i64> {
        thread::sleep(WORKING);
        assert!(number != 13, "the model does not like 13");
        number.checked_pow(3).ok_or_else(|| Error::invalid_input(format!("the cube of {number} is too large")))
    }
}

fn main() -> ExitCode {
    common::main(pool)
}

fn pool(command_line: Parser) -> Outcome {
    let mut items: Vec<OsString> = Vec::new();
    let mut common = Common::parse(command_line, "usage: process_pool [FLAGS] [NUMBER...]", |flag, _| {
        let Flag::Value(value) = flag else { return Ok(false) };
        items.push(value);
        Ok(true)
    })?;
    if items.is_empty() {
        items = ["10", "5", "3", "2", "one", "1"].map(OsString::from).into();
    }
    common.workers.get_or_insert(8);

    let started = Instant::now();
    let model = PerWorker::new(
        |worker| Ok(Model::load(worker)),
        |model: &mut Model, number: &i64| Ok((model.worker, model.cube(*number)?)),
    );
    let pipeline = Pipeline::new(model).prepare(|text: &OsString| {
        let text = text.to_str().ok_or("the input is not UTF-8")?;
        Ok(text.parse::<i64>()?)
    });
    let mut results = common.bulk(Bulk::pipeline(pipeline)).map(common.stop().until(items.clone().into_iter()));
    let mut out = io::stdout();
    for (item, result) in items.iter().zip(results.by_ref()) {
        match result {
            Ok((worker, cube)) => {
                writeln!(out, "{} cubed is {cube} (model of worker {worker})", one_line(&item.to_string_lossy()))?;
            }
            Err(error) => {
                writeln!(out, "{} failed: {}", one_line(&item.to_string_lossy()), one_line(&whole(&error)))?;
            }
        }
    }
    say!("{:.2} s in all", started.elapsed().as_secs_f64());
    common.end(&results.report())
}
