//! A small web server that can be told to misbehave.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

/// How the server answers.
#[derive(Default)]
pub struct State {
    /// Bytes and ETag by path.
    pub files: BTreeMap<String, (Vec<u8>, Option<&'static str>)>,
    pub has_dates: bool,
    pub ignores_ranges: bool,
    /// Each answer of that many is cut off in the middle of its body.
    pub cuts: Option<usize>,
    /// Answers with the status 503 before others.
    pub unavailable: usize,
    /// After that many bodies the ETags are of another version.
    pub changes_after: Option<usize>,
    pub hangs: bool,
    /// Refuses bodies, with one that has a secret.
    pub refuses: bool,
    /// Ranges that were asked for.
    pub asked: Vec<Range<usize>>,
}

/// A server on a port of its own, until the process ends.
pub struct Server {
    state: Arc<Mutex<State>>,
    port: u16,
}

impl Server {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { has_dates: true, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that went away ends its connection.
                thread::spawn(move || while let Some(true) = answer(&stream, &state) {});
            }
        });
        Self { state, port }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Serves bytes; returns the URL.
    pub fn serve(&self, path: &str, bytes: Vec<u8>, etag: Option<&'static str>) -> String {
        self.state().files.insert(path.to_owned(), (bytes, etag));
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

/// Answers a request; whether the connection can have another one.
fn answer(mut stream: &TcpStream, state: &Mutex<State>) -> Option<bool> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut range, mut if_match) = (String::new(), None, None);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("range", value) => {
                let (start, end) = value.strip_prefix("bytes=")?.split_once('-')?;
                range = Some(start.parse::<usize>().ok()?..end.parse::<usize>().ok()? + 1);
            }
            ("if-match", value) => if_match = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?.trim_start_matches('/').replace("%20", " "));
    let mut state = state.lock().unwrap();
    let mut status = |line: &str, body: &str| {
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n", body.len());
        let body = if method == "HEAD" { "" } else { body };
        stream.write_all((head + body).as_bytes()).ok().map(|()| true)
    };
    if state.hangs {
        drop(state);
        thread::park();
        return None;
    }
    if state.refuses && method == "GET" {
        return status("403 Forbidden", "<Error><Code>AccessDenied</Code><Secret>s3cret</Secret></Error>");
    }
    if state.unavailable > 0 {
        state.unavailable -= 1;
        return status("503 Service Unavailable", "");
    }
    let Some((bytes, mut etag)) = state.files.get(&path).cloned() else { return status("404 Not Found", "") };
    if state.changes_after.is_some_and(|bodies| state.asked.len() >= bodies) {
        etag = Some("\"later\"");
    }
    if if_match.is_some_and(|wanted| etag != Some(&wanted)) {
        return status("412 Precondition Failed", "");
    }
    let mut head = String::new();
    if let Some(etag) = etag {
        head += &format!("ETag: {etag}\r\n");
    }
    if state.has_dates {
        head += "Last-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n";
    }
    let whole = bytes.len();
    let body = match range.filter(|_| !state.ignores_ranges) {
        Some(range) if range.start < whole && range.start < range.end => {
            let range = range.start..range.end.min(whole);
            head += &format!("Content-Range: bytes {}-{}/{whole}\r\n", range.start, range.end - 1);
            state.asked.push(range.clone());
            head = format!("HTTP/1.1 206 Partial Content\r\n{head}");
            bytes[range].to_vec()
        }
        Some(_) => return status("416 Range Not Satisfiable", ""),
        None => {
            head = format!("HTTP/1.1 200 OK\r\n{head}");
            bytes
        }
    };
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let cut = method == "GET" && state.cuts.is_some_and(|cuts| state.asked.len().is_multiple_of(cuts));
    drop(state);
    stream.write_all(head.as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(if cut { &body[..body.len() / 2] } else { &body }).ok()?;
    }
    if cut {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    Some(true)
}
