//! The CPU backend: kernels in the order of a plan, and a pool of arenas.

mod session;

pub(crate) use session::CpuSession;
