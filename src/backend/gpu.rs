//! The GPU backend, over wgpu: any adapter that Vulkan, Metal or Direct3D 12 reach, without a vendor's toolkit.
//!
//! A session uploads its weights once and runs each chunk as passes of compute shaders, whose sources are in `shaders/`.
//! Operators without a shader run on the CPU inside the session, and the report names them.

mod adapter;
mod buffer;
mod cooperative;
mod device;
mod faults;
mod instance;
mod kernel;
mod kernels;
mod limits;
mod loaded;
mod memory;
mod operand;
mod pipeline;
mod program;
mod recorder;
mod request;
mod residence;
mod resilient;
mod run;
mod self_test;
mod session;
mod several;
mod shader;
mod staging;

pub use adapter::{Adapter, AdapterType, adapters};
pub(crate) use operand::WeightFormat;
pub(crate) use several::{load, open};
