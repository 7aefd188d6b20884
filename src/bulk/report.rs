//! What a job did: numbers for machines, and a few lines for people.

mod devices;
pub(in crate::bulk) mod measures;
mod notes;

pub use devices::DeviceItems;
pub(in crate::bulk) use devices::Shares;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    bulk::{
        job::Job,
        report::notes::Facts,
        stages::Stages,
        sync::{self, atomic::Ordering::Relaxed},
    },
    error::ItemError,
    inference::{Fingerprint, Inference},
    threads::platform,
};

/// What a job did, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Results handed on, errors included.
    pub items: usize,
    /// Items that failed.
    pub errors: usize,
    /// Inputs that were cut to the model's longest.
    pub truncated: u64,
    /// Seconds from the first pull to the last result handed on.
    pub seconds: f64,
    /// `items` by `seconds`.
    pub items_per_second: f64,
    /// Seconds that loading the model took, outside `seconds`.
    pub load_seconds: f64,
    /// The device that computed.
    pub device: String,
    /// The kernel set that it used.
    pub kernel_set: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// Threads that the pool has.
    pub workers: usize,
    /// Chunks run.
    pub chunks: usize,
    /// Items a chunk.
    pub chunk_items: Spread,
    /// Cost units that were computed only as padding.
    pub padding: u64,
    /// The share of `seconds` that each worker was at work, without what it did of a chunk that was split over workers
    /// for want of others: that counts for the worker whose chunk it is.
    pub worker_busy: Vec<f64>,
    /// Bytes that each worker costs besides the shared weights.
    pub scratch_bytes_per_worker: u64,
    /// The process's largest resident set so far, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Names the weights.
    pub model_fingerprint: Fingerprint,
    /// Things worth telling in words.
    pub notes: Vec<String>,
    /// Seconds from the first pull to the first result handed on.
    pub first_result_seconds: f64,
    /// Results that came from a [cache](super::Bulk::cached).
    pub cache_hits: usize,
    /// Items that were equal to others and took their results, where that was [asked for](super::Bulk::dedupe).
    pub duplicates: usize,
    /// Seconds that running and finishing a chunk took; the median within a fifth.
    pub chunk_seconds: Spread<f64>,
    /// Seconds from an item's being prepared to its chunk's being run, the longest of each chunk; the median within a
    /// fifth.
    pub queue_wait_seconds: Spread<f64>,
    /// The slowest items, the slowest first; five at most.
    pub slowest: Vec<SlowItem>,
    /// The share of `seconds` that each driver spent in the model; empty where the workers call it.
    pub driver_busy: Vec<f64>,
    /// Which items ran on which device, where a job had more than [`device`](Self::device): a device was lost on the way.
    /// Results of a cache ran on none.
    pub devices: Vec<DeviceItems>,
}

/// The spread of a number over a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread<T = usize> {
    /// The smallest.
    pub min: T,
    /// As many are below it as above it.
    pub median: T,
    /// The largest.
    pub max: T,
}

/// One of the slowest items of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowItem {
    /// Its position in the job, counted from 0.
    pub index: usize,
    /// Seconds that running and finishing it took: its part of its chunk's time, by its part of the chunk's cost.
    pub seconds: f64,
    /// Whether it was alone in its chunk: then `seconds` is measured, not shared out.
    pub alone: bool,
}

/// How many chunks there were of each size.
#[derive(Debug, Default)]
pub(super) struct ChunkItems {
    sizes: BTreeMap<usize, usize>,
    count: usize,
    items: usize,
    running: Duration,
}

/// What the consumer counts.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) items: usize,
    pub(super) errors: usize,
    /// How many there will be, if the source says.
    pub(super) total: Option<usize>,
    pub(super) started: Option<Instant>,
    pub(super) first: Option<Instant>,
    pub(super) ended: Option<Instant>,
    /// Time spent in the source.
    pub(super) pulling: Duration,
    /// Processor time of workers and other threads, taken once the job turns out to be no short one.
    pub(super) processor_time: Option<(Duration, Duration)>,
    /// Why the job ended early.
    pub(super) cut_off: Option<String>,
    first_error: Option<String>,
}

impl ChunkItems {
    /// Sizes told apart exactly, at most; past that, large ones are counted with their like.
    const MOST_SIZES: usize = 4096;

    pub(super) fn add(&mut self, items: usize, took: Duration) {
        self.items += items;
        self.running += took;
        let items = if self.sizes.len() < Self::MOST_SIZES { items } else { 1 << items.max(1).ilog2() };
        *self.sizes.entry(items).or_default() += 1;
        self.count += 1;
    }

    fn facts(&self, chunk_size: Option<usize>, max_chunk_cost: Option<u64>) -> Facts {
        Facts {
            items: self.items,
            chunks: self.count,
            largest: self.spread().max,
            running: self.running,
            chunk_size,
            max_chunk_cost,
            ..Facts::default()
        }
    }

    fn spread(&self) -> Spread {
        let mut before = 0;
        let median = self.sizes.iter().find(|&(_, count)| {
            before += count;
            before * 2 > self.count
        });
        let size = |entry: Option<(&usize, &usize)>| entry.map_or(0, |(&size, _)| size);
        Spread { min: size(self.sizes.first_key_value()), median: size(median), max: size(self.sizes.last_key_value()) }
    }
}

impl Tally {
    pub(super) fn new(total: Option<usize>) -> Self {
        Self {
            items: 0,
            errors: 0,
            total,
            started: None,
            first: None,
            ended: None,
            pulling: Duration::ZERO,
            processor_time: None,
            cut_off: None,
            first_error: None,
        }
    }

    pub(super) fn failed(&mut self, error: &ItemError) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(error.to_string());
        }
    }

    /// Processor time since the job was some way on: of workers, and of threads that are neither workers nor the
    /// consumer.
    fn processor_time(&self) -> Option<(Duration, Duration)> {
        let (workers_before, others_before) = self.processor_time?;
        let (workers, others) = platform::processor_time()?;
        Some((workers.saturating_sub(workers_before), others.saturating_sub(others_before)))
    }

    pub(super) fn elapsed(&self) -> Duration {
        let Some(started) = self.started else { return Duration::ZERO };
        self.ended.unwrap_or_else(sync::now).saturating_duration_since(started)
    }
}

impl Report {
    pub(super) fn of<S: Stages<I>, I>(job: &Job<S, I>, tally: &Tally, items: usize) -> Self {
        let model = job.stages.model().describe();
        let seconds = tally.elapsed().as_secs_f64();
        let share = |part: f64| if seconds > 0.0 { part / seconds } else { 0.0 };
        let busy: Vec<Duration> = job.busy.iter().map(|ns| Duration::from_nanos(ns.load(Relaxed))).collect();
        let first = tally.started.zip(tally.first).map_or(0.0, |(start, first)| (first - start).as_secs_f64());
        let (cache_hits, cache_notes) = job.stages.cached();
        let state = job.lock();
        let facts = state.chunks.facts(job.settings.chunk_size, job.settings.max_chunk_cost);
        let (chunks, chunk_items, slowest) = (state.chunks.count, state.chunks.spread(), state.slowest.get());
        let (chunk_seconds, queue_wait_seconds) = (state.chunk_times.spread(), state.queue_waits.spread());
        let driver_trouble = state.driver_trouble.clone();
        let devices = state.devices.told(&model.device);
        drop(state);
        let mut notes = model.notes;
        notes.extend(cache_notes);
        notes.extend(driver_trouble);
        notes.extend(notes::notes(&Facts {
            elapsed: tally.elapsed(),
            workers: busy.len(),
            parallelism: platform::parallelism(),
            pulling: tally.pulling,
            busy: busy.iter().sum(),
            processor_time: tally.processor_time(),
            ..facts
        }));
        notes.extend(tally.first_error.as_ref().map(|first| failures(tally.errors, first)));
        notes.extend(tally.cut_off.as_ref().map(|why| format!("the job ended early: {why}")));
        Self {
            items,
            errors: tally.errors,
            // Counters of the model's whole life: this job's part is the difference, with the part of any other job
            // that runs the same model at the same time.
            truncated: model.truncated.saturating_sub(job.before.truncated),
            seconds,
            items_per_second: share(items as f64),
            load_seconds: model.load_seconds,
            device: model.device,
            kernel_set: model.kernel_set,
            precision: model.precision,
            workers: busy.len(),
            chunks,
            chunk_items,
            padding: model.padding.saturating_sub(job.before.padding),
            worker_busy: busy.iter().map(|busy| share(busy.as_secs_f64()).min(1.0)).collect(),
            scratch_bytes_per_worker: model.scratch_bytes_per_worker,
            peak_rss_bytes: platform::peak_rss_bytes(),
            model_fingerprint: model.model_fingerprint,
            notes,
            first_result_seconds: first,
            cache_hits,
            duplicates: 0,
            chunk_seconds,
            queue_wait_seconds,
            slowest,
            driver_busy: job.driving.iter().map(|ns| share(ns.load(Relaxed) as f64 * 1e-9).min(1.0)).collect(),
            devices,
        }
    }

    /// The device that the item at `index` ran on, where [`devices`](Self::devices) tells.
    pub fn device_of(&self, index: usize) -> Option<&str> {
        self.devices.iter().find(|share| share.has(index)).map(|share| share.device.as_str())
    }

    /// Lets it be of so many items and errors, where the job below, of fewer, told the same first error as `below`,
    /// and this one tells it as `first`.
    pub(super) fn recount(&mut self, items: usize, errors: usize, below: &str, first: &str) {
        let told = failures(self.errors, below);
        if let Some(note) = self.notes.iter_mut().find(|note| **note == told) {
            *note = failures(errors, first);
        }
        (self.items, self.errors) = (items, errors);
        self.items_per_second = if self.seconds > 0.0 { items as f64 / self.seconds } else { 0.0 };
    }

    /// Lets the positions that it names be those of other items: item `i` had the position `places[i]`, and where
    /// several had the same the first one stands for them.
    pub(super) fn renumber(&mut self, places: &[usize]) {
        if !self.devices.is_empty() {
            let mut shares = Shares::default();
            let names: Vec<Arc<str>> = self.devices.iter().map(|share| share.device.as_str().into()).collect();
            for (index, &place) in places.iter().enumerate() {
                if let Some(own) = self.devices.iter().position(|share| share.has(place)) {
                    shares.add(&names[own], &[index]);
                }
            }
            self.devices = shares.told("");
        }
        for item in &mut self.slowest {
            item.index = places.iter().position(|&place| place == item.index).unwrap_or(item.index);
        }
    }

    /// The report as a JSON object of one line, its fields in the order they have here.
    pub fn to_json(&self) -> String {
        let mut json = Json(String::from("{"));
        json.field("items", self.items);
        json.field("errors", self.errors);
        json.field("truncated", self.truncated);
        json.float("seconds", self.seconds);
        json.float("items_per_second", self.items_per_second);
        json.float("load_seconds", self.load_seconds);
        json.text("device", &self.device);
        json.text("kernel_set", &self.kernel_set);
        json.text("precision", &self.precision);
        json.field("workers", self.workers);
        json.field("chunks", self.chunks);
        let Spread { min, median, max } = self.chunk_items;
        json.field("chunk_items", format_args!("{{\"min\":{min},\"median\":{median},\"max\":{max}}}"));
        json.field("padding", self.padding);
        json.list("worker_busy", self.worker_busy.iter().map(|&share| number(share)));
        json.field("scratch_bytes_per_worker", self.scratch_bytes_per_worker);
        match self.peak_rss_bytes {
            Some(bytes) => json.field("peak_rss_bytes", bytes),
            None => json.field("peak_rss_bytes", "null"),
        }
        json.text("model_fingerprint", self.model_fingerprint.as_str());
        json.list("notes", self.notes.iter().map(|note| quote(note)));
        json.float("first_result_seconds", self.first_result_seconds);
        json.field("cache_hits", self.cache_hits);
        json.field("duplicates", self.duplicates);
        json.times("chunk_seconds", self.chunk_seconds);
        json.times("queue_wait_seconds", self.queue_wait_seconds);
        let slow = |item: &SlowItem| {
            let SlowItem { index, seconds, alone } = *item;
            format!("{{\"index\":{index},\"seconds\":{},\"alone\":{alone}}}", number(seconds))
        };
        json.list("slowest", self.slowest.iter().map(slow));
        json.list("driver_busy", self.driver_busy.iter().map(|&share| number(share)));
        json.list("devices", self.devices.iter().map(DeviceItems::json));
        json.0.push('}');
        json.0
    }
}

/// The note on items that failed.
fn failures(errors: usize, first: &str) -> String {
    match errors {
        1 => first.to_owned(),
        errors => format!("{errors} items failed; the first: {first}"),
    }
}

/// A JSON object in the making.
struct Json(String);

impl Json {
    fn field(&mut self, name: &str, value: impl fmt::Display) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
    }

    fn float(&mut self, name: &str, value: f64) {
        self.field(name, number(value));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.field(name, quote(value));
    }

    fn times(&mut self, name: &str, Spread { min, median, max }: Spread<f64>) {
        let [min, median, max] = [min, median, max].map(number);
        self.field(name, format_args!("{{\"min\":{min},\"median\":{median},\"max\":{max}}}"));
    }

    fn list(&mut self, name: &str, values: impl Iterator<Item = String>) {
        self.field(name, format_args!("[{}]", values.collect::<Vec<_>>().join(",")));
    }
}

/// A number as JSON has it: six places, and `null` for what JSON cannot say.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{}", (value * 1e6).round() / 1e6) } else { "null".into() }
}

pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The lines that an example prints on stderr when it is done.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, errors, seconds, items_per_second, .. } = self;
        write!(f, "{items} items in {seconds:.2} s ({items_per_second:.1} items/s), {errors} errors")?;
        if self.truncated > 0 {
            write!(f, ", {} truncated", self.truncated)?;
        }
        let model: Vec<&str> = [&self.device, &self.kernel_set, &self.precision]
            .into_iter()
            .map(String::as_str)
            .filter(|s| !s.is_empty())
            .collect();
        if !model.is_empty() {
            write!(f, "\n{}; loaded in {:.2} s", model.join(", "), self.load_seconds)?;
        }
        let Spread { min, median, max } = self.chunk_items;
        let busy = self.worker_busy.iter().sum::<f64>() / self.worker_busy.len().max(1) as f64 * 100.0;
        write!(
            f,
            "\n{} workers {busy:.0} % busy; {} chunks of {min} to {max} items (median {median})",
            self.workers, self.chunks
        )?;
        if self.cache_hits > 0 {
            write!(f, "; {} results from the cache", self.cache_hits)?;
        }
        if self.duplicates > 0 {
            write!(f, "; {} duplicates", self.duplicates)?;
        }
        if let Some(bytes) = self.peak_rss_bytes {
            write!(f, "; peak memory {:.0} MB", bytes as f64 / 1e6)?;
        }
        if let Some(SlowItem { index, seconds, .. }) = self.slowest.first() {
            write!(f, "; slowest item: {index}, {:.1} ms", seconds * 1e3)?;
        }
        for DeviceItems { device, items, .. } in &self.devices {
            write!(f, "\nran on {device}: {items} items")?;
        }
        for note in &self.notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_json_and_has_the_agreed_fields_in_order() {
        let report = Report {
            items: 3,
            seconds: 0.25,
            items_per_second: f64::INFINITY,
            device: "a \"device\" \\ with\n\u{1}控".into(),
            chunk_items: Spread { min: 1, median: 2, max: 3 },
            worker_busy: vec![0.5, 1.0],
            notes: vec!["one".into(), "t\two".into()],
            slowest: vec![SlowItem { index: 7, seconds: 0.5, alone: true }],
            queue_wait_seconds: Spread { min: 0.0, median: 0.25, max: 1.5 },
            ..Report::default()
        };
        let json = report.to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["device"], "a \"device\" \\ with\n\u{1}控");
        assert_eq!(value["items_per_second"], serde_json::Value::Null);
        assert_eq!(value["peak_rss_bytes"], serde_json::Value::Null);
        assert_eq!(value["chunk_items"]["median"], 2);
        assert_eq!(value["worker_busy"][1], 1.0);
        assert_eq!(value["notes"][1], "t\two");
        assert_eq!(value["slowest"][0]["index"], 7);
        assert_eq!(value["slowest"][0]["alone"], true);
        assert_eq!(value["queue_wait_seconds"]["max"], 1.5);
        let names = "items errors truncated seconds items_per_second load_seconds device kernel_set precision workers \
                     chunks chunk_items padding worker_busy scratch_bytes_per_worker peak_rss_bytes \
                     model_fingerprint notes first_result_seconds cache_hits duplicates chunk_seconds \
                     queue_wait_seconds slowest driver_busy devices";
        let mut rest = json.as_str();
        for name in names.split_whitespace() {
            let at = rest.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} is missing or out of order"));
            rest = &rest[at..];
        }
        assert_eq!(value.as_object().unwrap().len(), names.split_whitespace().count());
    }

    #[test]
    fn chunk_sizes_are_counted() {
        let mut sizes = ChunkItems::default();
        assert_eq!(sizes.spread(), Spread::default());
        for items in [5, 1, 9, 5, 2] {
            sizes.add(items, Duration::ZERO);
        }
        assert_eq!(sizes.spread(), Spread { min: 1, median: 5, max: 9 });
        (0..10_000).for_each(|items| sizes.add(items, Duration::ZERO));
        assert!(sizes.sizes.len() < 2 * ChunkItems::MOST_SIZES);
    }
}
