//! Normalizations and softmax.

pub mod channel_norm;
pub mod l2_normalize;
pub mod layer_norm;
pub mod lp_normalize;
pub mod softmax;
