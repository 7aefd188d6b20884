//! The CPU backend: kernels in the order of a plan, and arenas that workers lease.

mod arena;
mod session;

pub use session::CpuSession;
