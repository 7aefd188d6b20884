//! Log lines on stderr, filtered by `RUST_LOG`, written by a thread of its own so that no worker waits for a terminal.

use std::{
    env,
    io::{self, Write},
    sync::mpsc::{self, SyncSender, TrySendError},
    thread,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::one_line;

/// The most lines that wait; further lines are dropped.
const MOST: usize = 1 << 14;

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The channel to the thread that writes.
#[derive(Clone, Debug)]
pub struct Logs(SyncSender<Message>);

/// Starts logging if `RUST_LOG` is set.
pub fn start() -> Option<Logs> {
    env::var_os("RUST_LOG")?;
    let (sender, messages) = mpsc::sync_channel(MOST);
    let write = move || {
        for message in messages {
            match message {
                // An error means that stderr is closed, and cannot be reported.
                Message::Line(line) => drop(io::stderr().write_all(&line)),
                Message::Flush(done) => drop(done.send(())),
            }
        }
    };
    thread::Builder::new().name("mill-logs".into()).spawn(write).ok()?;
    let logs = Logs(sender);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_thread_names(true)
        .with_target(false)
        .with_ansi(false)
        .with_writer(logs.clone());
    subscriber.try_init().ok()?;
    Some(logs)
}

impl Logs {
    /// Waits until all logged lines are written.
    pub fn flush(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.0.send(Message::Flush(done)).is_ok() {
            // An error means that the thread has ended.
            let _ = wait.recv();
        }
    }
}

impl<'w> MakeWriter<'w> for Logs {
    type Writer = Self;
    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Each call writes one whole line, in which names of files and texts may have control characters.
impl Write for Logs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = one_line(text.strip_suffix('\n').unwrap_or(&text)) + "\n";
        match self.0.try_send(Message::Line(text.into_bytes())) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(line.len()),
            Err(TrySendError::Disconnected(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
