//! The CPU backend: kernels, and the session that walks a plan with them.
//!
//! All `unsafe` code of the library is below this module: vector kernels and the arena that hands out disjoint parts
//! of one buffer.

mod activation;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod arena;
pub mod attention;
pub(crate) mod broadcast;
mod cache;
mod cast;
mod constants;
pub(crate) mod depthwise;
pub mod gemm;
mod kernel;
mod kernel_set;
pub(crate) mod map;
pub(crate) mod moments;
pub mod norm;
pub(crate) mod number;
pub(crate) mod reduce;
pub mod segments;
mod session;
pub mod simd;
pub mod softmax;
pub mod split;
mod transpose;

pub use activation::Activation;
pub use cache::l2_bytes;
pub use constants::Form;
#[cfg(feature = "gpu")]
pub(crate) use constants::PackedConstants;
pub(crate) use kernel::scratch_numbers;
pub(crate) mod strided;
pub(crate) use cast::cast;
pub use kernel::{CpuKernel, Io, KernelRequest, Shapes, View, ViewMut};
pub use kernel_set::KernelSet;
pub use session::CpuSession;
pub(crate) use session::evaluate;
pub(crate) use transpose::transpose;
