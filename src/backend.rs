//! Devices, precisions, and the [`Session`] that runs a model on them.

mod choice;
pub(crate) mod cpu;
pub(crate) mod device;
#[cfg(feature = "gpu")]
pub(crate) mod gpu;
mod load;
pub(crate) mod options;
mod profile;
mod session;

pub use device::HostOperator;
pub use options::{Device, GpuOptions, Precision, SessionOptions, TestHooks};
pub use profile::{RunProfile, StepProfile};
pub use session::Session;
