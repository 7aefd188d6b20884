//! Threads: the pool, whose turn it is there, splitting work over it, caught panics, and queries to the operating system.

pub(crate) mod panics;
pub(crate) mod platform;
pub(crate) mod pool;
pub(crate) mod split;
pub(crate) mod sync;
pub(crate) mod turns;
