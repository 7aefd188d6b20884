//! Kernels: functions on slices, compiled once for each instruction set and chosen at run time.
//!
//! A leaf: nothing here knows graphs, operators or sessions. All `unsafe` arithmetic of the library
//! is in this module. A kernel that reads or writes through addresses is made by an
//! `unsafe fn new`, whose contract names what must be readable and writable; safe functions check
//! slices before they call it.
#![allow(unsafe_code, reason = "vector instructions, and reads and writes through addresses")]

mod activation;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
pub mod attention;
pub(crate) mod broadcast;
mod cache;
mod cast;
pub(crate) mod depthwise;
pub(crate) mod fourier;
pub mod gemm;
pub(crate) mod integers;
mod kernel_set;
pub(crate) mod map;
pub(crate) mod moments;
pub mod norm;
pub(crate) mod number;
pub(crate) mod pool;
pub(crate) mod quantize;
pub(crate) mod random;
pub(crate) mod rational;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub mod rotary;
pub mod segments;
pub mod simd;
mod small;
pub mod softmax;
pub(crate) mod strided;
mod transpose;
pub mod trees;
pub(crate) mod winograd;

pub use activation::Activation;
pub use cache::l2_bytes;
pub(crate) use cast::cast;
pub use kernel_set::KernelSet;
pub use small::{Rounding, ToSmall};
pub(crate) use small::{small_number, to_small};
pub(crate) use transpose::transpose;
