//! Bulk jobs.

#[cfg(feature = "cache")]
mod cache;
mod closures;
mod dedupe;
mod drivers;
mod fairness;
#[cfg(feature = "files")]
mod files;
mod first_chunk;
mod hot;
mod jobs;
mod panics;
mod per_worker;
mod properties;
mod queue;
mod service;
mod splits;
#[cfg(feature = "stream")]
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod unreached;
