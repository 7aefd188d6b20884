//! The GPU backend, over wgpu: any adapter that Vulkan, Metal or Direct3D 12 reach, without a vendor's toolkit.
//!
//! A session uploads its weights once and runs each chunk as one pass of compute shaders, kept in `shaders/`.
//! Operators without a shader run on the CPU inside the session, which the report tells.

mod adapter;
mod buffer;
mod cooperative;
mod device;
mod kernel;
mod kernels;
mod memory;
mod pipeline;
mod resilient;
mod run;
mod session;
mod shader;
mod staging;

pub use adapter::{Adapter, AdapterType, adapters};
pub(crate) use device::GpuDevice;
pub(crate) use kernel::WeightFormat;
pub(crate) use resilient::Resilient;
