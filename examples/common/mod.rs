//! Shared by the examples: common flags, a progress bar, signals, output files, the summary and the report.
//!
//! ```ignore
//! let mut paths = Vec::new();
//! let common = Common::parse(command_line, "usage: identify [FLAGS] PATH...", |flag, parser| {
//!     match flag {
//!         Flag::Named("jsonl") => out = Some(parser.value()?),
//!         Flag::Value(path) => paths.push(path),
//!         _ => return Ok(false),
//!     }
//!     Ok(true)
//! })?;
//! let session = model.session(common.options())?;
//! let mut results = common.bulk(Bulk::new(session)).map(common.stop().until(items));
//! for result in results.by_ref() {
//!     // write it
//! }
//! common.end(&results.report())
//! ```

#![allow(dead_code, reason = "each example is a crate of its own and uses a part")]

/// Prints a line to stderr; where nobody can read it any more, the work goes on all the same.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
#[allow(unused_imports, reason = "each example is a crate of its own and uses a part")]
pub(crate) use say;

pub mod completions;
pub mod failure;
pub mod file_job;
pub mod json_lines;
pub mod lines;
pub mod logs;
pub mod npz;
pub mod output;
pub mod stop;
pub mod texts;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
};

use gristmill::{
    Device, GpuOptions, KernelSet, Precision, SessionOptions,
    bulk::{Bulk, Progress, Report, Staged},
};
use indicatif::{ProgressBar, ProgressStyle};
use lexopt::{Arg, Parser, ValueExt};

pub use failure::Failure;
use output::OutputFile;
use stop::Stop;

/// The end of a command: its exit code, or why it ended early.
pub type Outcome = Result<u8, Failure>;

/// Most workers for each processor.
const MOST_WORKERS: usize = 4;

const FLAGS: &str = "\
flags of all examples:
  --device auto|cpu|gpu               the device (auto)
  --precision f32|f16|bf16|int8|auto  the precision (f32); auto:COSINE sets how close to f32 auto must stay (0.999)
  --kernel-set NAME                   the instructions of the CPU kernels (the fastest that the processor has); results
                                      are the same bits on all machines that run the same set
  --workers N                         threads (as many as the machine allows)
  --chunk N                           items per chunk (chosen by measurement)
  --report FILE                       where to write the report: a page for people if the name ends in .html, else JSON
  --adapter NAME                      the graphics adapter: a part of its name, or its number; several share the chunks,
                                      in a list with commas, or `all` that are like the fastest
  --matrices                          products in f16 by cooperative matrices, if the adapter has them and they pass a
                                      test; the report says why not
  --devices                           list the devices and exit
  --completions bash|zsh|fish         print a script that completes these flags in a shell
  --help                              print this text
RUST_LOG=gristmill=debug in the environment logs to stderr (error, warn, info, debug)";

/// The flags that all examples take.
#[derive(Debug, Default)]
pub struct Common {
    pub device: Device,
    pub precision: Precision,
    pub kernel_set: Option<KernelSet>,
    pub workers: Option<usize>,
    pub chunk: Option<usize>,
    pub report: Option<PathBuf>,
    /// The program's name.
    name: String,
    /// The arguments as they were given.
    words: Vec<String>,
    logs: Option<logs::Logs>,
    stop: OnceLock<Stop>,
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
    /// Parses a command line; `own` takes the example's own flags, and returns false for unknown ones.
    pub fn parse(
        mut command_line: Parser,
        usage: &str,
        mut own: impl FnMut(Flag<'_>, &mut Parser) -> Result<bool, lexopt::Error>,
    ) -> Result<Self, Failure> {
        let (name, words) = typed(&mut command_line);
        let usage = &of_program(usage, &name);
        let mut common = Self { logs: logs::start(), name, words, ..Self::default() };
        let parser = &mut command_line;
        while let Some(arg) = parser.next()? {
            let name = match arg {
                Arg::Value(value) => {
                    if !own(Flag::Value(value.clone()), parser)? {
                        return Err(Arg::Value(value).unexpected().into());
                    }
                    continue;
                }
                Arg::Long(name) => name.to_owned(),
                Arg::Short(letter) => letter.to_string(),
            };
            match name.as_str() {
                "device" => common.device = parser.value()?.parse()?,
                "precision" => common.precision = parser.value()?.parse()?,
                "kernel-set" => common.kernel_set = Some(kernel_set(parser)?),
                "workers" => common.workers = Some(capped(positive(parser, "--workers")?)),
                "chunk" => common.chunk = Some(positive(parser, "--chunk")?),
                "report" => common.report = Some(parser.value()?.into()),
                "adapter" => common.gpu.adapter = Some(parser.value()?.string()?),
                "matrices" => common.gpu.cooperative_matrices = true,
                "devices" => {
                    list_devices()?;
                    return Err(Failure::silent(0));
                }
                "completions" => {
                    let help = format!("{usage}\n{FLAGS}");
                    let script = completions::script(&parser.value()?.string()?, &common.name, &help)?;
                    io::stdout().write_all(script.as_bytes())?;
                    return Err(Failure::silent(0));
                }
                "help" | "h" => {
                    writeln!(io::stdout(), "{usage}\n\n{FLAGS}")?;
                    return Err(Failure::silent(0));
                }
                name if own(Flag::Named(name), parser)? => {}
                name => return Err(Arg::Long(name).unexpected().into()),
            }
        }
        common.check_report(&[])?;
        Ok(common)
    }

    /// The options to load a model with.
    pub fn options(&self) -> SessionOptions {
        let mut options = SessionOptions::on(self.device).precision(self.precision).gpu(self.gpu.clone());
        options.workers = self.workers;
        match self.kernel_set {
            Some(set) => options.kernel_set(set),
            None => options,
        }
    }

    /// Whether a signal asks for the end; listens from the first call on.
    pub fn stop(&self) -> &Stop {
        self.stop.get_or_init(Stop::on_signals)
    }

    /// Applies the flags to `bulk`, and shows progress on a terminal.
    pub fn bulk<S: Staged>(&self, mut bulk: Bulk<S>) -> Bulk<S> {
        if let Some(workers) = self.workers {
            bulk = bulk.workers(workers);
        }
        if let Some(items) = self.chunk {
            bulk = bulk.chunk_size(items);
        }
        let bar = bar();
        bulk.progress(move |progress| show(&bar, progress))
    }

    /// Refuses a report that cannot be written, or that would replace one of these files.
    pub fn check_report(&self, files: &[&Path]) -> Result<(), Failure> {
        self.report.as_ref().map_or(Ok(()), |path| output::check(path, files))
    }

    /// Fails if the job could not start.
    pub fn check_started(report: &Report) -> Result<(), Failure> {
        match report.workers {
            0 => Err(Failure::new(report.notes.join("; "))),
            _ => Ok(()),
        }
    }

    /// Prints the summary to stderr, and writes the report if `--report` is set.
    ///
    /// The exit code is 0 if all items succeeded, 3 if some failed, and that of the signal that stopped the job.
    pub fn end(&self, report: &Report) -> Outcome {
        self.end_with(report, &[])
    }

    /// [`end`](Self::end), with facts that a report for people shows too.
    pub fn end_with(&self, report: &Report, facts: &[(&str, String)]) -> Outcome {
        self.logs.iter().for_each(logs::Logs::flush);
        Self::check_started(report)?;
        if report.errors > 0 {
            let (errors, items) = (report.errors, report.items);
            let all = if errors == items { "all items failed: " } else { "" };
            say!("{all}{errors} of {items} failed");
        }
        say!("{report}");
        if let Some(path) = &self.report {
            let mut file = OutputFile::create(path, &[])?;
            let text = match is_html(path) {
                true => self.page(report, facts),
                false => report.to_json() + "\n",
            };
            file.write_all(text.as_bytes()).map_err(|error| failure::writing(path, &error))?;
            file.finish()?;
        }
        Ok(self.code(report.errors > 0))
    }

    /// A report for people, with the command line.
    fn page(&self, report: &Report, facts: &[(&str, String)]) -> String {
        let line = [("command", format!("{} {}", self.name, self.words.join(" ")))];
        report.to_html(&self.name, &[facts, &line[..]].concat())
    }

    /// The exit code where all is written: that of the signal that stopped the command, or whether items failed.
    pub fn code(&self, items_failed: bool) -> u8 {
        let failed = items_failed.then_some(failure::ITEMS_FAILED);
        let stopped = self.stop.get().and_then(Stop::code);
        stopped.or(failed).unwrap_or(0)
    }
}

/// Runs a command on the arguments of this process.
pub fn main(command: impl FnOnce(Parser) -> Outcome) -> ExitCode {
    ExitCode::from(failure::code(command(Parser::from_env())))
}

/// A usage text with the name of the program of which the command is a part, as of `gristmill embed`.
fn of_program(usage: &str, program: &str) -> String {
    let own = usage.strip_prefix("usage: ").and_then(|rest| rest.split(' ').next());
    match own.filter(|_| program.contains(' ')) {
        Some(own) => usage
            .replace(&format!("usage: {own} "), &format!("usage: {program} "))
            .replace(&format!("\n       {own} "), &format!("\n       {program} ")),
        None => usage.to_owned(),
    }
}

/// The program's name and its arguments, as they were given.
fn typed(parser: &mut Parser) -> (String, Vec<String>) {
    let name = Path::new(parser.bin_name().unwrap_or("gristmill")).file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let words = parser.try_raw_args().map(|words| words.as_slice().to_vec()).unwrap_or_default();
    (name, words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}

fn is_html(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("html") || kind.eq_ignore_ascii_case("htm"))
}

/// Text for a terminal: control characters but line breaks and tabs are escaped.
pub fn plain(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().flat_map(|c| if is_plain(c) { vec![c] } else { c.escape_default().collect() }).collect()
}

/// Text in one line of a terminal, whatever names are in it.
pub fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// A path in one line of a terminal.
pub fn plain_path(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Prints the devices that a model could run on.
pub fn list_devices() -> io::Result<()> {
    let kernel_sets: Vec<_> = gristmill::KernelSet::available().into_iter().map(|set| set.name()).collect();
    let mut out = io::stdout();
    writeln!(out, "cpu: {}", kernel_sets.join(", "))?;
    #[cfg(feature = "gpu")]
    {
        let adapters = gristmill::gpu::adapters();
        for adapter in &adapters {
            writeln!(out, "gpu {adapter}")?;
        }
        if adapters.is_empty() {
            writeln!(out, "gpu: no adapter found")?;
        }
    }
    #[cfg(not(feature = "gpu"))]
    writeln!(out, "gpu: not built in (feature `gpu`)")?;
    Ok(())
}

/// A number of workers that the machine can bear.
fn capped(workers: usize) -> usize {
    let most = MOST_WORKERS * std::thread::available_parallelism().map_or(1, usize::from);
    if workers > most {
        say!("--workers {workers}: {most} are used, {MOST_WORKERS} for each processor");
    }
    workers.min(most)
}

fn kernel_set(parser: &mut Parser) -> Result<KernelSet, Failure> {
    KernelSet::named(&parser.value()?.string()?).map_err(|error| Failure::usage(error.to_string()))
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
