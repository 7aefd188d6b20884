//! A process with a time limit, whose output is handed on line by line.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed at its time limit.
    Late,
    /// It did not start.
    NotStarted(String),
}

impl End {
    /// The word for it in the results.
    pub fn word(&self) -> String {
        match self {
            End::Code(0) => "ok".to_owned(),
            End::Code(code) => format!("failed with code {code}"),
            End::Signal(signal) => format!("crashed by signal {signal}"),
            End::Late => "stopped at its time limit".to_owned(),
            End::NotStarted(why) => format!("not started: {why}"),
        }
    }
}

/// A line of standard output (true) or of standard error.
type Line = (bool, String);

/// Runs a process and its children for at most `limit`, and hands each line of its output to `line`.
pub fn run(mut command: Command, limit: Duration, mut line: impl FnMut(bool, &str)) -> End {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    lead_a_group(&mut command);
    let started = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return End::NotStarted(error.to_string()),
    };
    let (sender, receiver) = channel();
    if let Some(out) = child.stdout.take() {
        read(out, true, sender.clone());
    }
    if let Some(err) = child.stderr.take() {
        read(err, false, sender);
    }
    loop {
        match receiver.recv_timeout(limit.saturating_sub(started.elapsed())) {
            Ok((out, text)) => line(out, &text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                kill_group(&mut child);
                let _ = child.wait();
                // What it wrote until then; a driver that keeps the pipe open must not hold up the trip.
                while let Ok((out, text)) = receiver.recv_timeout(Duration::from_millis(200)) {
                    line(out, &text);
                }
                return End::Late;
            }
        }
    }
    match child.wait() {
        Ok(status) => status.code().map_or_else(|| End::Signal(signal(status)), End::Code),
        Err(error) => End::NotStarted(error.to_string()),
    }
}

/// Lets a process and its children be killed at once.
#[cfg(unix)]
fn lead_a_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(unix)]
fn kill_group(child: &mut Child) {
    let group = -(child.id() as i32);
    // SAFETY: the call takes no memory; the group is that of a child which has not been waited for.
    unsafe { libc::kill(group, libc::SIGKILL) };
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

#[cfg(not(unix))]
fn lead_a_group(_: &mut Command) {}

#[cfg(not(unix))]
fn kill_group(child: &mut Child) {
    let _ = child.kill();
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> i32 {
    0
}

/// Sends the lines of a stream from a thread of its own.
fn read(stream: impl Read + Send + 'static, out: bool, lines: Sender<Line>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            if lines.send((out, String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
    });
}
