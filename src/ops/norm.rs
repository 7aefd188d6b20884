//! Normalizations and softmax.

pub mod channel_norm;
pub mod hardmax;
pub mod l2_normalize;
pub mod layer_norm;
pub mod layer_norm_statistics;
pub mod local_response;
pub mod lp_normalize;
pub mod mean_variance;
pub(crate) mod row_axis;
pub mod softmax;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &channel_norm::BATCH,
        &channel_norm::GROUP,
        &channel_norm::INSTANCE,
        &hardmax::DEF,
        &layer_norm::DEF,
        &layer_norm_statistics::DEF,
        &local_response::DEF,
        &lp_normalize::LP,
        &lp_normalize::RMS,
        &mean_variance::DEF,
        &softmax::LOG_SOFTMAX,
        &softmax::SOFTMAX,
        &l2_normalize::DEF,
    ]
    .into_iter()
}
