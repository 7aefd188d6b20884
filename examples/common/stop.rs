//! SIGINT and SIGTERM: what has been read is finished and written, and nothing more is read.

use std::{
    io, process,
    sync::{
        atomic::{AtomicBool, AtomicI32, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use gristmill::bulk::CancelToken;

use super::output;

/// How often a source that waits looks whether to stop.
pub const LOOK: Duration = Duration::from_millis(50);
/// Items that are read ahead of a source that waits.
const AHEAD: usize = 16;

/// The signal that has asked for the end, or 0.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Whether a stop drops what is in hand, which can be resumed.
static DROPS: AtomicBool = AtomicBool::new(false);

/// The exit code that tells of the signal, if there was one.
pub fn asked() -> Option<u8> {
    match SIGNAL.load(SeqCst) {
        0 => None,
        signal => Some(128 + signal as u8),
    }
}

fn ask(signal: i32) {
    if SIGNAL.swap(signal, SeqCst) != 0 {
        output::remove_parts();
        process::exit(128 + signal);
    }
    match DROPS.load(SeqCst) {
        true => say!("\nstopping: finished parts stay, those in hand are dropped (once more to exit at once)"),
        false => say!("\nstopping: what has been read is finished and written (once more to exit at once)"),
    }
}

/// Whether a signal has asked for the end, and which.
#[derive(Clone, Copy, Debug)]
pub struct Stop(());

impl Stop {
    /// Listens for signals; a second one ends the process at once.
    pub fn on_signals() -> Self {
        if let Err(error) = listen(ask) {
            say!("signals will not stop the job cleanly: {error}");
        }
        Self(())
    }

    /// The exit code that tells of the signal, if there was one.
    pub fn code(&self) -> Option<u8> {
        asked()
    }

    /// Whether to stop.
    pub fn is_asked(&self) -> bool {
        self.code().is_some()
    }

    /// Lets a signal cancel what uses `token`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn cancel_on_signal(&self, token: &CancelToken) -> io::Result<()> {
        DROPS.store(true, SeqCst);
        let (stop, token) = (*self, token.clone());
        let wait = move || {
            while !stop.is_asked() {
                thread::sleep(LOOK);
            }
            token.cancel();
        };
        thread::Builder::new().name("mill-stop".into()).spawn(wait).map(drop)
    }

    /// The items until a signal comes.
    pub fn until<I: Iterator>(&self, mut items: I) -> impl Iterator<Item = I::Item> + use<I> {
        let stop = *self;
        std::iter::from_fn(move || if stop.is_asked() { None } else { items.next() })
    }

    /// The items of a source that may wait for long, until a signal comes; a thread of its own reads them.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn until_waiting<I, F>(&self, items: F) -> io::Result<impl Iterator<Item = I::Item> + use<I, F>>
    where
        F: FnOnce() -> I + Send + 'static,
        I: Iterator<Item: Send + 'static>,
    {
        let stop = *self;
        let (send, receive) = sync_channel(AHEAD);
        let read = move || {
            let mut items = items();
            // Without this a source that has no end would never let the receiver see one.
            while !stop.is_asked()
                && let Some(item) = items.next()
                && send.send(item).is_ok()
            {}
        };
        thread::Builder::new().name("mill-source".into()).spawn(read)?;
        Ok(std::iter::from_fn(move || {
            loop {
                match receive.recv_timeout(LOOK) {
                    Ok(item) => return Some(item),
                    Err(RecvTimeoutError::Timeout) if !stop.is_asked() => {}
                    Err(_) => return None,
                }
            }
        }))
    }
}

#[cfg(unix)]
fn listen(mut told: impl FnMut(i32) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM, SIGXFSZ},
        iterator::Signals,
    };
    // A file that may grow no more is an error of its writer then, instead of the end of the process.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ])?;
    let hear = move || signals.forever().filter(|&signal| signal != SIGXFSZ).for_each(&mut told);
    thread::Builder::new().name("mill-signals".into()).spawn(hear).map(drop)
}

#[cfg(not(unix))]
fn listen(mut told: impl FnMut(i32) + Send + 'static) -> Result<(), ctrlc::Error> {
    const SIGINT: i32 = 2;
    ctrlc::set_handler(move || told(SIGINT))
}
