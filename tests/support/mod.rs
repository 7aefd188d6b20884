//! What tests of several rooms share.

#![allow(dead_code, reason = "each room uses a part")]

pub mod data;
pub mod folder;
pub mod forms;
pub mod npy;
#[path = "../../examples/common/npz.rs"]
pub mod npz;
pub mod onnx_writer;
pub mod process;
pub mod random;
pub mod watchdog;
