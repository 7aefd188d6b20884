//! The gates' sums of the input: of all steps, or of a few at a time, which stay in the cache.

use std::ops::Range;

use crate::{error::Result, kernels::KernelSet, ops::recurrent::weights::Factors};

/// The bytes of sums that are computed at a time.
const BLOCK_BYTES: usize = 1 << 18;

/// The steps whose sums are computed at a time, `numbers` each.
pub(super) fn block(steps: usize, numbers: usize) -> usize {
    (BLOCK_BYTES / size_of::<f32>() / numbers.max(1)).max(1).min(steps)
}

pub(super) struct Sums<'a> {
    pub(super) set: KernelSet,
    pub(super) weights: Factors<'a>,
    pub(super) bias: Option<&'a [f32]>,
    /// The input, step by step.
    pub(super) x: &'a [f32],
    /// The numbers of a step: of its input, and of its sums.
    pub(super) step: [usize; 2],
    pub(super) batch: usize,
    /// The sums of the steps from `first` on.
    pub(super) kept: &'a mut [f32],
    pub(super) first: usize,
}

impl Sums<'_> {
    /// Computes those of some steps, and keeps no others.
    pub(super) fn compute(&mut self, steps: Range<usize>) -> Result<()> {
        let [given, made] = self.step;
        self.first = steps.start;
        let x = &self.x[steps.start * given..steps.end * given];
        let kept = &mut self.kept[..steps.len() * made];
        self.weights.product(self.set, 0, x, steps.len() * self.batch, [self.bias, None], kept)
    }

    /// Those of one step of all items.
    pub(super) fn of(&self, step: usize) -> &[f32] {
        let made = self.step[1];
        &self.kept[(step - self.first) * made..][..made]
    }
}
