//! Shared by the examples: common flags, a progress bar, Ctrl-C, the summary and the report.
//!
//! ```ignore
//! let mut paths = Vec::new();
//! let common = Common::parse("usage: identify [FLAGS] PATH...", |flag, parser| {
//!     match flag {
//!         Flag::Named("jsonl") => out = Some(parser.value()?),
//!         Flag::Value(path) => paths.push(path),
//!         _ => return Ok(false),
//!     }
//!     Ok(true)
//! })?;
//! let session = model.session(common.options())?;
//! let mut results = common.bulk(Bulk::new(session)).map(items);
//! for result in results.by_ref() {
//!     if cut_off(&result) { break; }
//!     // write it
//! }
//! common.end(&results.report())
//! ```

#![allow(dead_code, reason = "each example is a crate of its own and uses a part")]

pub mod logs;
pub mod npz;

use std::{error::Error, ffi::OsString, fs, path::PathBuf, process};

use gristmill::{
    Device, ErrorKind, GpuOptions, ItemError, Precision, SessionOptions,
    bulk::{Bulk, CancelToken, Progress, Report, Staged},
};
use indicatif::{ProgressBar, ProgressStyle};
use lexopt::{Arg, Parser, ValueExt};

/// The result of an example's `main`.
pub type Outcome = Result<(), Box<dyn Error>>;

const FLAGS: &str = "\
flags of all examples:
  --device auto|cpu|gpu               the device (auto)
  --precision f32|f16|bf16|auto       the precision (f32); auto:COSINE sets how close to f32 auto must stay (0.999)
  --workers N                         threads (as many as the machine allows)
  --chunk N                           items per chunk (chosen by measurement)
  --report FILE.json                  where to write the report
  --adapter NAME                      the graphics adapter: a part of its name, or its number
  --devices                           list the devices and exit
  --help                              print this text
RUST_LOG=gristmill=debug in the environment logs to stderr (error, warn, info, debug)";

/// The flags that all examples take.
#[derive(Debug, Default)]
pub struct Common {
    pub device: Device,
    pub precision: Precision,
    pub workers: Option<usize>,
    pub chunk: Option<usize>,
    pub report: Option<PathBuf>,
    logs: Option<logs::Logs>,
    pub gpu: GpuOptions,
}

/// A flag or value that belongs to the example itself.
#[derive(Debug)]
pub enum Flag<'a> {
    /// `--name` or `-n`, without its dashes.
    Named(&'a str),
    /// A value without a flag before it.
    Value(OsString),
}

impl Common {
    /// Parses the command line; `own` takes the example's own flags, and returns false for unknown ones.
    pub fn parse(
        usage: &str,
        mut own: impl FnMut(Flag<'_>, &mut Parser) -> Result<bool, lexopt::Error>,
    ) -> Result<Self, lexopt::Error> {
        let mut common = Self { logs: logs::start(), ..Self::default() };
        let mut parser = Parser::from_env();
        while let Some(arg) = parser.next()? {
            let name = match arg {
                Arg::Value(value) => {
                    if !own(Flag::Value(value.clone()), &mut parser)? {
                        return Err(Arg::Value(value).unexpected());
                    }
                    continue;
                }
                Arg::Long(name) => name.to_owned(),
                Arg::Short(letter) => letter.to_string(),
            };
            match name.as_str() {
                "device" => common.device = parser.value()?.parse()?,
                "precision" => common.precision = parser.value()?.parse()?,
                "workers" => common.workers = Some(positive(&mut parser, "--workers")?),
                "chunk" => common.chunk = Some(positive(&mut parser, "--chunk")?),
                "report" => common.report = Some(parser.value()?.into()),
                "adapter" => common.gpu = GpuOptions::adapter(parser.value()?.string()?),
                "devices" => {
                    list_devices();
                    process::exit(0);
                }
                "help" | "h" => {
                    println!("{usage}\n\n{FLAGS}");
                    process::exit(0);
                }
                name if own(Flag::Named(name), &mut parser)? => {}
                name => return Err(Arg::Long(name).unexpected()),
            }
        }
        Ok(common)
    }

    /// The options to load a model with.
    pub fn options(&self) -> SessionOptions {
        SessionOptions::on(self.device).precision(self.precision).gpu(self.gpu.clone())
    }

    /// Applies the flags to `bulk`, shows progress on a terminal, and lets Ctrl-C cancel its jobs.
    pub fn bulk<S: Staged>(&self, mut bulk: Bulk<S>) -> Bulk<S> {
        if let Some(workers) = self.workers {
            bulk = bulk.workers(workers);
        }
        if let Some(items) = self.chunk {
            bulk = bulk.chunk_size(items);
        }
        let bar = bar();
        bulk.progress(move |progress| show(&bar, progress)).cancel(cancel_on_ctrl_c())
    }

    /// Prints the summary to stderr, and writes the report if `--report` is set.
    pub fn end(&self, report: &Report) -> Outcome {
        self.logs.iter().for_each(logs::Logs::flush);
        eprintln!("{report}");
        if let Some(path) = &self.report {
            fs::write(path, report.to_json() + "\n").map_err(|error| format!("writing {}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Prints the devices that a model could run on.
pub fn list_devices() {
    let kernel_sets: Vec<_> = gristmill::KernelSet::available().into_iter().map(|set| set.name()).collect();
    println!("cpu: {}", kernel_sets.join(", "));
    #[cfg(feature = "gpu")]
    {
        let adapters = gristmill::gpu::adapters();
        for adapter in &adapters {
            println!("gpu {adapter}");
        }
        if adapters.is_empty() {
            println!("gpu: no adapter found");
        }
    }
    #[cfg(not(feature = "gpu"))]
    println!("gpu: not built in (feature `gpu`)");
}

/// Whether Ctrl-C stopped the job before this item: no further result is worth writing.
pub fn cut_off<T>(result: &Result<T, ItemError>) -> bool {
    result.as_ref().is_err_and(|error| error.source.kind() == ErrorKind::Cancelled)
}

/// A token that Ctrl-C cancels; a second Ctrl-C ends the process at once.
pub fn cancel_on_ctrl_c() -> CancelToken {
    let token = CancelToken::new();
    let on_signal = token.clone();
    let handled = ctrlc::set_handler(move || {
        if on_signal.is_cancelled() {
            process::exit(130);
        }
        on_signal.cancel();
        eprintln!("\nstopping: writing finished results (Ctrl-C again to exit at once)");
    });
    if let Err(error) = handled {
        eprintln!("Ctrl-C will not stop the job cleanly: {error}");
    }
    token
}

fn positive(parser: &mut Parser, flag: &str) -> Result<usize, lexopt::Error> {
    match parser.value()?.parse()? {
        0 => Err(format!("{flag} must be at least 1").into()),
        number => Ok(number),
    }
}

/// A progress bar, drawn on a terminal only.
fn bar() -> ProgressBar {
    ProgressBar::no_length()
}

fn show(bar: &ProgressBar, progress: &Progress) {
    if progress.last {
        bar.finish_and_clear();
        return;
    }
    if bar.position() == 0 {
        // The remaining time is shown only if the number of items is known.
        let template = match progress.total {
            Some(_) => "{bar:30} {human_pos}/{human_len} items, {per_sec}, {msg}, {eta} left",
            None => "{spinner} {human_pos} items, {per_sec}, {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if let Some(total) = progress.total {
            bar.set_length(total as u64);
        }
    }
    bar.set_message(format!("{} errors", progress.errors));
    bar.set_position(progress.items as u64);
}
