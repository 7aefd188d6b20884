//! The list of kernels: each file holds a shader's source, the kernel's name and its maker.

mod arg_reduce;
mod attention;
mod batch_norm;
mod code;
mod conv;
mod cooperative;
mod cum_sum;
mod expression;
mod fill;
mod functions;
mod gather;
mod gather_elements;
mod gather_nd;
mod gemm;
mod hardmax;
mod heads;
mod held;
mod linear;
mod matmul;
mod matrix_code;
mod moves;
mod norm;
mod order;
mod packed_attention;
mod pad;
mod places;
mod pointwise;
mod pool;
mod product;
mod reduce;
mod resize;
mod rotary_heads;
mod scatter;
mod segment_pool;
mod segment_windows;
mod softmax;
mod top_k;
mod weights;
mod windows;

use crate::{
    backend::gpu::kernel::KernelDef,
    error::{Error, Result},
};

/// Every kernel that operators name in their [`GpuState`](crate::op::GpuState).
static ALL: &[KernelDef] = &[
    arg_reduce::KERNEL,
    attention::KERNEL,
    batch_norm::KERNEL,
    conv::KERNEL,
    cum_sum::KERNEL,
    fill::KERNEL,
    gather::KERNEL,
    gather_elements::KERNEL,
    gather_nd::KERNEL,
    gemm::KERNEL,
    hardmax::KERNEL,
    linear::KERNEL,
    matmul::KERNEL,
    moves::KERNEL,
    norm::KERNEL,
    packed_attention::KERNEL,
    pad::KERNEL,
    pointwise::KERNEL,
    pool::KERNEL,
    reduce::KERNEL,
    resize::KERNEL,
    rotary_heads::KERNEL,
    scatter::KERNEL,
    segment_pool::KERNEL,
    segment_windows::KERNEL,
    softmax::KERNEL,
    top_k::KERNEL,
];

/// Returns the kernel of this name.
///
/// # Errors
/// If there is none: the list of operators is wrong.
pub(super) fn find(name: &str) -> Result<&'static KernelDef> {
    let found = ALL.iter().find(|kernel| kernel.name == name);
    found.ok_or_else(|| Error::internal(format!("no kernel is named `{name}`")))
}

#[cfg(test)]
mod tests;
