//! A panic in user code or a kernel becomes an error here.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::RefCell,
    mem,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::error::{Error, ErrorKind, Result};

/// Runs `work`; a panic in it becomes an error of kind [`ErrorKind::Panic`] that carries the panic's message, and
/// its backtrace where `RUST_BACKTRACE` asks for one.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // A backtrace from before belongs to a panic that was caught elsewhere, or is on its way through a `drop`.
    let before = kept();
    // Unwind safety: what a panic leaves half done is discarded by every caller (slots, the item at hand).
    let result = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let error = panic_error(&*payload);
        // What was thrown may itself panic when it is dropped.
        if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(another);
        }
        Err(error)
    });
    if KEEPS.load(Relaxed) {
        LAST.set(before);
    }
    result
}

/// Runs user code that gives nothing back; a panic in it ends here.
pub(crate) fn quietly(work: impl FnOnce()) {
    // Nobody is left to be told of it.
    let _ = catch(|| {
        work();
        Ok(())
    });
}

/// Drops a value of the user's; a panic in its `drop` ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// Drops values of the user's one by one; each may panic in its `drop`, where two in one collection would abort.
pub(crate) fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    let mut values = values.into_iter();
    let mut rest = || {
        for value in values.by_ref() {
            drop(value);
        }
        Ok(())
    };
    while catch(&mut rest).is_err() {}
}

/// Locks what stays whole whatever panics: user code runs without the lock, or leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error for a caught panic.
pub(crate) fn panic_error(payload: &(dyn Any + Send)) -> Error {
    let message = if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "a panic without a message"
    };
    match kept() {
        Some(trace) => Error::new(ErrorKind::Panic, format!("{message}\n{trace}")),
        None => Error::new(ErrorKind::Panic, message),
    }
}

/// Whether backtraces are kept.
static KEEPS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The backtrace of this thread's last panic that was not caught here.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Takes the backtrace that is kept.
fn kept() -> Option<String> {
    if KEEPS.load(Relaxed) { LAST.take() } else { None }
}

/// Has backtraces kept for [`panic_error`], if the environment asks for backtraces at all: only at the moment of
/// the panic can one be taken, so the process's panic hook is wrapped once. Without `RUST_BACKTRACE` the hook is
/// left alone.
pub(crate) fn keep_backtraces() {
    static WRAP: Once = Once::new();
    WRAP.call_once(|| {
        if Backtrace::capture().status() != BacktraceStatus::Captured {
            return;
        }
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LAST.set(Some(Backtrace::capture().to_string()));
            hook(info);
        }));
        KEEPS.store(true, Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_all_kinds_are_kept() {
        let cases: [(fn(), &str); 3] = [
            (|| panic!("plain"), "plain"),
            (|| panic!("number {}", 7), "number 7"),
            (|| panic::panic_any(7_u8), "a panic without a message"),
        ];
        for (work, message) in cases {
            let error = catch(|| {
                work();
                Ok(())
            })
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Panic);
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }
}
