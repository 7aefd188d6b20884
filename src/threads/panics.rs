//! Panics in user code and kernels, caught and turned into errors.

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

/// Runs `work`; a panic in it becomes an error of kind [`ErrorKind::Panic`].
///
/// The error has the panic's message, and its backtrace if [`keep_backtraces`] keeps them.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // An earlier backtrace belongs to a panic that was caught elsewhere, or is still unwinding
    // through a `drop`.
    let before = kept();
    // Unwind safety: every caller discards state that a panic leaves incomplete (slots, the current
    // item).
    let result = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let error = panic_error(&*payload);
        // Dropping the payload may panic too.
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

/// Runs user code without a result; a panic in it is dropped.
pub(crate) fn quietly(work: impl FnOnce()) {
    // No caller is left that could report it.
    let _ = catch(|| {
        work();
        Ok(())
    });
}

/// Drops a user's value; a panic in its `drop` is dropped.
pub(crate) fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// Drops users' values one by one, each of which may panic.
///
/// Dropping them as one collection would abort at the second panic.
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

/// Locks a mutex, poisoned or not.
///
/// For data that no panic leaves inconsistent: user code runs outside the lock, or changes nothing
/// in part.
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

/// Whether the panic hook keeps backtraces.
static KEEPS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The backtrace of this thread's last panic that was not caught here.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Takes the kept backtrace of this thread.
fn kept() -> Option<String> {
    if KEEPS.load(Relaxed) { LAST.take() } else { None }
}

/// Keeps backtraces of panics for [`panic_error`], if `RUST_BACKTRACE` enables backtraces.
///
/// A backtrace can be captured only during the panic, so the process's panic hook is wrapped, once.
/// Without `RUST_BACKTRACE` the hook is left alone.
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
