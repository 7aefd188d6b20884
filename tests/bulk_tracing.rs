//! What a job tells a subscriber: model, job, chunks and failures, each with its level, its fields and its thread. One
//! test, since a process has one subscriber for all threads.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    thread,
};

use gristmill::{Error, PerWorker, bulk::Bulk};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

struct Told {
    level: Level,
    message: String,
    fields: BTreeMap<&'static str, String>,
    thread: String,
}

static TOLD: Mutex<Vec<Told>> = Mutex::new(Vec::new());

/// Collects the events of this library up to a level.
struct Collect(Level);

impl Subscriber for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gristmill") && *metadata.level() <= self.0
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut told = Told {
            level: *event.metadata().level(),
            message: String::new(),
            fields: BTreeMap::new(),
            thread: thread::current().name().unwrap_or_default().to_owned(),
        };
        event.record(&mut told);
        TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.insert(field.name(), format!("{value:?}"));
        }
    }
}

#[test]
fn a_job_tells_what_happens_with_level_and_worker() {
    tracing::subscriber::set_global_default(Collect(Level::DEBUG)).unwrap();
    let model = PerWorker::new(
        |_| Ok(()),
        |(): &mut (), &number: &u64| {
            if number == 41 { Err(Error::invalid_input("41 is bad").into()) } else { Ok(number) }
        },
    );
    let results = Bulk::new(model).workers(2).chunk_size(10).map(0..100_u64);
    assert_eq!(results.filter(|result| result.is_err()).count(), 1);

    let told = TOLD.lock().unwrap();
    let of = |level: Level, message: &str| -> Vec<&Told> {
        told.iter().filter(|told| told.level == level && told.message == message).collect()
    };
    let test = thread::current().name().unwrap().to_owned();
    let models = of(Level::INFO, "model loaded");
    assert!((1..=2).contains(&models.len()));
    assert!(models.iter().all(|told| told.fields["seconds"].parse::<f64>().is_ok()));
    let (start, end) = (of(Level::INFO, "job started"), of(Level::INFO, "job ended"));
    assert_eq!((start.len(), end.len()), (1, 1));
    assert_eq!((start[0].fields["workers"].as_str(), start[0].fields["total"].as_str()), ("2", "100"));
    assert_eq!((end[0].fields["items"].as_str(), end[0].fields["errors"].as_str()), ("100", "1"));
    assert!(start[0].thread == test && end[0].thread == test);
    let (starts, ends) = (of(Level::DEBUG, "chunk started"), of(Level::DEBUG, "chunk ended"));
    assert_eq!((starts.len(), ends.len()), (10, 10));
    for told in starts.iter().chain(&ends).chain(&models) {
        assert!(told.thread.starts_with("mill-worker-") && told.fields["worker"] == told.thread, "{}", told.thread);
    }
    assert!(ends.iter().all(|told| told.fields["items"] == "10"));
    assert_eq!(ends.iter().filter(|told| told.fields["failed"] == "1").count(), 1);
    let failed = of(Level::WARN, "item failed");
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].fields["index"].as_str(), failed[0].fields["stage"].as_str()), ("41", "run"));
    assert!(failed[0].fields["error"].contains("41 is bad") && failed[0].thread == test);
}
