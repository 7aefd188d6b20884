//! A running mean.

/// The factor by which older samples are weighted down with each new one.
const DECAY: f64 = 0.8;

/// A mean that forgets old samples: a decaying sum over a decaying weight.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bulk) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    /// Adds a sample of `weight` parts.
    pub(in crate::bulk) fn add(&mut self, sum: f64, weight: f64) {
        self.sum = self.sum * DECAY + sum;
        self.weight = self.weight * DECAY + weight;
    }

    /// The mean of a part; `None` before the first sample.
    pub(in crate::bulk) fn get(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}
