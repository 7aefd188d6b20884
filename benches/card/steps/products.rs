//! Products of square matrices, by differences of chains.

use gristmill::Tensor;

use crate::{
    Kit, Outcome, chain, figure,
    steps::{ways, without_matrices},
    weights::Random,
};

/// Operations by which the long chain should exceed the short one.
const FLOP: f64 = 2e12;

pub fn run(kit: &Kit) -> Outcome {
    let mut told = false;
    for &size in kit.pick(&[512, 1024, 2048, 4096, 8192][..], &[64, 96][..]) {
        let weights = Random(3).vector(size * size, (3.0 / size as f32).sqrt());
        let weights = Tensor::new([size, size], &weights)?;
        let flop = 2.0 * (size as f64).powi(3);
        let more = kit.pick((FLOP / flop).clamp(2.0, 128.0) as usize, 4);
        for (way, options) in ways() {
            match chain::product_seconds((size, size), [2, 2 + more], &options, &weights) {
                Ok((seconds, about)) => {
                    let by_matrices = about.kernel_set.contains("cooperative");
                    if way.contains("matrices") && !by_matrices {
                        told = told || without_matrices(&about.notes);
                        continue;
                    }
                    figure::cell("TFLOP/s", &format!("{size} x {size} x {size}"), way, flop / seconds / 1e12);
                }
                Err(error) => figure::note(format!("{size}, {way}: {error}")),
            }
        }
    }
    Ok(())
}
