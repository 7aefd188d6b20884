//! Examples, run as commands.

#[cfg(feature = "hugging-face")]
mod completions;
#[cfg(all(unix, feature = "onnx", feature = "hugging-face"))]
mod damaged;
#[cfg(all(unix, feature = "onnx", feature = "hugging-face"))]
mod ends;
#[cfg(all(unix, feature = "files", feature = "hugging-face", feature = "onnx"))]
mod file_jobs;
mod first_steps;
#[cfg(feature = "onnx")]
mod inspect;
#[cfg(all(unix, feature = "onnx", feature = "hugging-face"))]
mod interrupted;
#[cfg(all(unix, feature = "onnx", feature = "hugging-face"))]
mod mishaps;
mod process_pool;
#[cfg(feature = "hugging-face")]
mod reports;
#[cfg(feature = "onnx")]
mod run;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "hugging-face")]
mod text_models;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whoever holds it runs alone: times are taken here.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
