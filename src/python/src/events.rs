//! The library's events for Python's logging.
//!
//! A worker must not wait for the interpreter's lock, so events are kept until a thread that has the lock hands them on.

use std::{
    collections::VecDeque,
    fmt::{self, Write},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use pyo3::{Bound, PyAny, PyResult, Python, exceptions::PyException, types::PyAnyMethods};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

/// The most events that wait.
const MOST: usize = 10_000;
/// A level that no event reaches.
const NONE: u32 = u32::MAX;

/// The least level of Python's that is wanted.
static LEAST: AtomicU32 = AtomicU32::new(NONE);
static WAITING: Mutex<Waiting> = Mutex::new(Waiting { events: VecDeque::new(), lost: 0 });

struct Waiting {
    events: VecDeque<(u32, String)>,
    /// Events beyond the most that wait.
    lost: usize,
}

struct Events;

/// Python's number of a level.
fn number(level: &Level) -> u32 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

impl Subscriber for Events {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // What is wanted changes as Python sets its levels.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("gristmill")
            && number(metadata.level()) >= LEAST.load(Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.events.len() < MOST {
            waiting.events.push_back((number(event.metadata().level()), text.0));
        } else {
            waiting.lost += 1;
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The message of an event and its fields.
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.0);
                write!(self.0, "{value:?}{fields}")
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Hands waiting events to the logger `gristmill`, and reads what it wants.
///
/// The first call takes the library's events, unless another subscriber does.
///
/// # Errors
/// What a signal raised meanwhile. An error of a handler is printed, as from a destructor.
pub(crate) fn hand_on(py: Python<'_>) -> PyResult<()> {
    static TAKEN: Once = Once::new();
    TAKEN.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Events);
    });
    match handed_on(py) {
        Err(error) if error.is_instance_of::<PyException>(py) => error.write_unraisable(py, None),
        handed_on => return handed_on,
    }
    Ok(())
}

fn handed_on(py: Python<'_>) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("gristmill",))?;
    let (events, lost) = {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut waiting.events), std::mem::take(&mut waiting.lost))
    };
    for (level, text) in events {
        log(&logger, level, &text)?;
    }
    if lost > 0 {
        log(&logger, 30, &format!("{lost} more events came too fast to be logged"))?;
    }
    // Without a handler Python prints warnings, which are in the results and the report anyway.
    let least = match logger.call_method0("hasHandlers")?.is_truthy()? {
        true => logger.call_method0("getEffectiveLevel")?.extract()?,
        false => NONE,
    };
    LEAST.store(least, Relaxed);
    Ok(())
}

fn log(logger: &Bound<'_, PyAny>, level: u32, text: &str) -> PyResult<()> {
    logger.call_method1("log", (level, "%s", text)).map(drop)
}
