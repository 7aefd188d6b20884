//! Threads: the pool, splitting work over it, panics, and what the operating system says.

pub(crate) mod panics;
pub(crate) mod platform;
pub(crate) mod pool;
pub mod split;
