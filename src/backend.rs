//! Devices, precisions, and the [`Session`] that runs a model on them.

mod choice;
pub mod cpu;
pub(crate) mod device;
#[cfg(feature = "gpu")]
pub mod gpu;
mod load;
pub(crate) mod options;
mod session;

pub use device::HostOperator;
#[cfg(feature = "gpu")]
pub use options::TestHooks;
pub use options::{Device, GpuOptions, Precision, SessionOptions};
pub use session::Session;
