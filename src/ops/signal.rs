//! Operators on sampled signals: Fourier transforms, windows, and weights of frequencies.

pub mod dft;
pub mod mel_weight_matrix;
pub mod stft;
pub mod window;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&window::BLACKMAN, &dft::DEF, &window::HAMMING, &window::HANN, &mel_weight_matrix::DEF, &stft::DEF].into_iter()
}
