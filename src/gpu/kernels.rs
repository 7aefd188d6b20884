//! The kernels by the stem of their shader; each reads what its operator says and writes what its shader takes.

mod attention;
mod conv;
mod gather;
mod l2_normalize;
mod layer_norm;
mod linear;
mod moves;
mod pointwise;
mod product;
mod reduce;
mod segment_pool;
mod softmax;

use crate::{
    error::{Error, Result},
    gpu::kernel::{GpuRequest, Made},
};

type Make = fn(&GpuRequest<'_>) -> Result<Made>;

static ALL: &[(&str, Make)] = &[
    ("attention", attention::make),
    ("conv", conv::make),
    ("gather", gather::make),
    ("l2_normalize", l2_normalize::make),
    ("layer_norm", layer_norm::make),
    ("linear", linear::make),
    ("move", moves::make),
    ("packed_attention", attention::make_packed),
    ("pointwise", pointwise::make),
    ("reduce", reduce::make),
    ("segment_pool", segment_pool::make),
    ("softmax", softmax::make),
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
