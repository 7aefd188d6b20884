//! A web service over a queue, with a bulk job beside it: both take turns on the same workers.
//!
//! `POST /identify` with the bytes of a file answers with its type. A full queue is answered with 429 at once, a request
//! that takes too long with 504, and `GET /metrics` shows the queue's numbers. The files of PATH are identified in bulk
//! meanwhile; requests go before them, because a queue has a larger share of the workers than a job.
//!
//! `cargo run --release -p gristmill-serve -- --listen 127.0.0.1:8080 PATH...`, then
//! `curl --data-binary @FILE http://127.0.0.1:8080/identify`.

#[path = "../../identify/features.rs"]
mod features;
#[path = "../../identify/files.rs"]
mod files;
#[path = "../../identify/identifier.rs"]
#[allow(dead_code, reason = "the pipeline over paths is the other example's")]
mod identifier;
#[path = "../../identify/labels.rs"]
mod labels;

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Cursor, Write as _},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gristmill::{
    Pipeline, SessionOptions,
    bulk::{Bulk, Queue},
};
use identifier::Identifier;
use labels::{Label, Labels};
use tokio::{net::TcpListener, runtime, time::timeout};

const USAGE: &str = "\
serve [--listen ADDRESS] [--limit ITEMS] [--timeout MS] [--workers N] [PATH...]

  --listen ADDRESS  where to listen; 127.0.0.1:8080 by default, port 0 for any
  --limit ITEMS     requests under way before more are refused with 429; 64 by default
  --timeout MS      how long a request may take before it is answered with 504; 1000 by default
  --workers N       worker threads
  PATH...           files and folders to identify in bulk beside the service";

/// The largest body of a request.
const MOST_BYTES: usize = 16 << 20;

struct Settings {
    listen: String,
    limit: usize,
    timeout: Duration,
    workers: Option<usize>,
    paths: Vec<PathBuf>,
}

/// What requests share.
struct Service {
    queue: Queue<Bytes, Label>,
    timeout: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Settings { listen, limit, timeout, workers, paths } = settings()?;
    let model = Arc::new(Identifier::load(&SessionOptions::default())?);
    let labels = Arc::new(Labels::bundled()?);

    // One model, two ways to it: bytes from requests, and paths of the job.
    let config = labels.clone();
    let requests = Pipeline::new(model.clone())
        .prepare(move |body: &Bytes| Ok(features::of_reader(&mut Cursor::new(body), config.config())?))
        .item_bytes(|body: &Bytes| body.len());
    let files = Pipeline::new(model).prepare(move |path: &PathBuf| Ok(features::of_path(path, labels.config())?));
    let (mut requests, mut files) = (Bulk::pipeline(requests).queue_limit(limit), Bulk::pipeline(files));
    if let Some(workers) = workers {
        (requests, files) = (requests.workers(workers), files.workers(workers));
    }

    let service = Arc::new(Service { queue: requests.queue(Duration::from_millis(2))?, timeout });
    if !paths.is_empty() {
        thread::spawn(move || {
            let source = files::Files::below(paths).map(|file| file.map_err(|(_, error)| error));
            let mut results = files.map_results(source);
            let failed = results.by_ref().filter(Result::is_err).count();
            let report = results.report();
            let (items, speed) = (report.items, report.items_per_second);
            // Where nobody can read it, the service goes on all the same.
            let _ = writeln!(io::stderr(), "{items} files, {failed} failed, {speed:.0} a second");
        });
    }
    let routes = Router::new()
        .route("/identify", post(identify))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(service);
    // The service only waits; all computing is on the library's workers.
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(&listen).await.map_err(|error| format!("listening on {listen}: {error}"))?;
        writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

/// Answers with the type of the file in the body.
async fn identify(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let Ok(handle) = service.queue.try_submit(body) else {
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "too many requests\n").into_response();
    };
    // Dropping the handle, after the time or when the client goes, cancels what has not begun.
    match timeout(service.timeout, handle).await {
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "no answer in time\n").into_response(),
        Ok(Ok(Label { label, score })) => format!("{label} {score:.3}\n").into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", error.source)).into_response(),
    }
}

/// The queue's numbers, as Prometheus reads them.
async fn metrics(State(service): State<Arc<Service>>) -> String {
    let report = service.queue.report();
    let numbers: [(&str, f64); 12] = [
        ("submitted_total", report.submitted as f64),
        ("answered_total", report.answered as f64),
        ("errors_total", report.errors as f64),
        ("cancelled_total", report.cancelled as f64),
        ("rejected_total", report.rejected as f64),
        ("waiting", report.waiting as f64),
        ("waiting_bytes", report.waiting_bytes as f64),
        ("oldest_seconds", report.oldest_seconds),
        ("chunks_total", report.chunks as f64),
        ("wait_seconds_p95", report.wait_seconds.p95),
        ("answer_seconds_median", report.answer_seconds.median),
        ("answer_seconds_p95", report.answer_seconds.p95),
    ];
    numbers.iter().fold(String::new(), |mut text, (name, number)| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "queue_{name} {number}");
        text
    })
}

fn settings() -> Result<Settings, Box<dyn Error>> {
    use lexopt::{Arg, ValueExt};

    let mut settings = Settings {
        listen: "127.0.0.1:8080".into(),
        limit: 64,
        timeout: Duration::from_secs(1),
        workers: None,
        paths: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("listen") => settings.listen = parser.value()?.string()?,
            Arg::Long("limit") => settings.limit = parser.value()?.parse()?,
            Arg::Long("timeout") => settings.timeout = Duration::from_millis(parser.value()?.parse()?),
            Arg::Long("workers") => settings.workers = Some(parser.value()?.parse()?),
            Arg::Value(path) => settings.paths.push(path.into()),
            Arg::Long("help") | Arg::Short('h') => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            other => return Err(format!("{}\n\nusage: {USAGE}", other.unexpected()).into()),
        }
    }
    Ok(settings)
}
