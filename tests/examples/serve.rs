//! The example of a service, run as a command: answers, shedding and time-outs beside a bulk job.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A running service; it is ended when dropped.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    /// Starts it at any port, with more arguments.
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_serve"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, address }
    }

    /// The status and body of a request.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.unwrap_or_else(|| panic!("{answer:?}")), body.to_owned())
    }

    /// A number of the metrics.
    fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.ask("GET", "/metrics", b"");
        assert_eq!(status, 200);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already, which the requests have shown.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A text of this repository, and its type.
fn readme() -> (Vec<u8>, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    (std::fs::read(root.join("README.md")).unwrap(), "markdown")
}

#[test]
fn requests_are_answered_beside_a_bulk_job() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sources = root.join("src").into_os_string().into_string().unwrap();
    let mut service = Service::start(&["--timeout", "30000", &sources, &sources, &sources]);
    let (text, kind) = readme();
    let mut times: Vec<Duration> = (0..40)
        .map(|_| {
            let started = Instant::now();
            let (status, body) = service.ask("POST", "/identify", &text);
            assert_eq!((status, body.split(' ').next()), (200, Some(kind)), "{body}");
            thread::sleep(Duration::from_millis(10));
            started.elapsed() - Duration::from_millis(10)
        })
        .collect();
    times.sort_unstable();
    println!("median {:.1?}, p95 {:.1?}", times[20], times[38]);
    assert!(times[38] < Duration::from_secs(1), "{times:?}");
    assert_eq!((service.metric("queue_submitted_total"), service.metric("queue_answered_total")), (40.0, 40.0));
    assert_eq!((service.metric("queue_waiting"), service.metric("queue_errors_total")), (0.0, 0.0));
    assert!(service.metric("queue_answer_seconds_p95") >= service.metric("queue_answer_seconds_median"));
    // The job comes to its end beside the requests.
    let mut line = String::new();
    BufReader::new(service.child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(" files, 0 failed, "), "{line}");
    assert_eq!(service.ask("POST", "/identify", b"").1, "empty 1.000\n");
    assert_eq!(service.ask("GET", "/identify", b"").0, 405);
}

#[test]
fn more_than_the_limit_is_refused_and_the_rest_answered() {
    let service = Service::start(&["--limit", "1", "--timeout", "30000", "--workers", "1"]);
    let (text, kind) = readme();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let ask = |_| {
                        let (status, body) = service.ask("POST", "/identify", &text);
                        let due = if status == 200 { kind } else { "too many requests" };
                        assert!(body.starts_with(due), "{status} {body}");
                        status
                    };
                    (0..25).map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let of = |wanted: u16| statuses.iter().filter(|&&status| status == wanted).count();
    println!("{} answered, {} refused", of(200), of(429));
    assert!(of(200) > 0 && of(429) > 0 && of(200) + of(429) == 200);
    assert_eq!(service.metric("queue_rejected_total"), of(429) as f64);
    assert_eq!(service.metric("queue_submitted_total"), of(200) as f64);
}

#[test]
fn a_request_that_takes_too_long_is_answered_so() {
    let service = Service::start(&["--timeout", "0"]);
    let (text, _) = readme();
    assert_eq!(service.ask("POST", "/identify", &text), (504, "no answer in time\n".to_owned()));
    // A service that could not be asked any more would fail here.
    let started = Instant::now();
    while service.metric("queue_answered_total") < 1.0 {
        assert!(started.elapsed() < Duration::from_secs(30), "the item is still there");
        thread::sleep(Duration::from_millis(10));
    }
}
