//! The kernels by the stem of their shader; each reads what its operator says and writes what its shader takes.

mod attention;
mod batch_norm;
mod conv;
mod cooperative;
mod cum_sum;
mod fill;
mod functions;
mod gather;
mod linear;
mod matmul;
mod moves;
mod norm;
mod order;
mod pad;
mod pick;
mod pointwise;
mod pool;
mod product;
mod reduce;
mod segment_pool;
mod softmax;

use crate::{
    backend::gpu::kernel::{GpuRequest, Made},
    error::{Error, Result},
};

type Make = fn(&GpuRequest<'_>) -> Result<Made>;

static ALL: &[(&str, Make)] = &[
    ("arg_reduce", order::make_arg),
    ("attention", attention::make),
    ("batch_norm", batch_norm::make),
    ("conv", conv::make),
    ("cum_sum", cum_sum::make),
    ("fill", fill::make),
    ("gather", gather::make),
    ("gather_elements", pick::make_gather_elements),
    ("gather_nd", pick::make_gather_nd),
    ("linear", linear::make),
    ("matmul", matmul::make),
    ("move", moves::make),
    ("norm", norm::make),
    ("packed_attention", attention::make_packed),
    ("pad", pad::make),
    ("pointwise", pointwise::make),
    ("pool", pool::make),
    ("reduce", reduce::make),
    ("scatter", pick::make_scatter),
    ("segment_pool", segment_pool::make),
    ("softmax", softmax::make),
    ("top_k", order::make_top),
];

/// What makes the kernels of the shader `stem`.
///
/// # Errors
/// When there is none: the list of operators is wrong.
pub(super) fn find(stem: &str) -> Result<Make> {
    let make = ALL.iter().find(|(own, _)| *own == stem).map(|(_, make)| *make);
    make.ok_or_else(|| Error::internal(format!("no kernel is made of the shader `{stem}`")))
}

#[cfg(test)]
mod tests;
