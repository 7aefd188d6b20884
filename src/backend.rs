//! Where a model runs, in which precision, and the [`Session`] that it becomes.

mod choice;
pub mod cpu;
pub(crate) mod device;
#[cfg(feature = "gpu")]
pub mod gpu;
mod load;
pub(crate) mod options;
mod session;

pub use device::HostOperator;
pub use options::{Device, GpuOptions, Precision, SessionOptions};
pub use session::Session;
