//! SIGINT and SIGTERM: what has been read is finished and written, and nothing more is read.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

/// How often a source that waits looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Items that are read ahead of a source that waits.
const AHEAD: usize = 16;

/// Whether a signal has asked for the end, and which.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicI32>);

impl Stop {
    /// Listens for signals; a second one ends the process at once.
    pub fn on_signals() -> Self {
        let stop = Self::default();
        let own = stop.clone();
        if let Err(error) = listen(move |signal| own.ask(signal)) {
            eprintln!("signals will not stop the job cleanly: {error}");
        }
        stop
    }

    fn ask(&self, signal: i32) {
        if self.0.swap(signal, SeqCst) != 0 {
            process::exit(128 + signal);
        }
        eprintln!("\nstopping: what has been read is finished and written (once more to exit at once)");
    }

    /// The exit code that tells of the signal, if there was one.
    pub fn code(&self) -> Option<u8> {
        match self.0.load(SeqCst) {
            0 => None,
            signal => Some(128 + signal as u8),
        }
    }

    /// Whether to stop.
    pub fn is_asked(&self) -> bool {
        self.code().is_some()
    }

    /// The items until a signal comes.
    pub fn until<I: Iterator>(&self, mut items: I) -> impl Iterator<Item = I::Item> + use<I> {
        let stop = self.clone();
        std::iter::from_fn(move || if stop.is_asked() { None } else { items.next() })
    }

    /// The items of a source that may wait for long, until a signal comes; a thread of its own reads them.
    pub fn until_waiting<I, F>(&self, items: F) -> impl Iterator<Item = I::Item> + use<I, F>
    where
        F: FnOnce() -> I + Send + 'static,
        I: Iterator<Item: Send + 'static>,
    {
        let stop = self.clone();
        let (send, receive) = sync_channel(AHEAD);
        let own = self.clone();
        thread::spawn(move || {
            let mut items = items();
            // Without this a source that has no end would never let the receiver see one.
            while !own.is_asked()
                && let Some(item) = items.next()
                && send.send(item).is_ok()
            {}
        });
        std::iter::from_fn(move || {
            loop {
                match receive.recv_timeout(LOOK) {
                    Ok(item) => return Some(item),
                    Err(RecvTimeoutError::Timeout) if !stop.is_asked() => {}
                    Err(_) => return None,
                }
            }
        })
    }
}

#[cfg(unix)]
fn listen(mut told: impl FnMut(i32) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
    };
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || signals.forever().for_each(&mut told));
    Ok(())
}

#[cfg(not(unix))]
fn listen(mut told: impl FnMut(i32) + Send + 'static) -> Result<(), ctrlc::Error> {
    const SIGINT: i32 = 2;
    ctrlc::set_handler(move || told(SIGINT))
}
