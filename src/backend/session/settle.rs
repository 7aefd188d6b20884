//! Settling the form of a session on a sample of inputs.

use crate::{
    backend::{
        choice::{Form, SAMPLE},
        device::DeviceSession,
        options::Precision,
        session::Session,
    },
    inference::{Slots, ran_on},
    tensor::Tensors,
    threads::{panics, split::with_workers},
};

impl Session {
    /// Settles `Device::Auto` and `Precision::Auto` on a sample, and returns the precision.
    ///
    /// At most 32 inputs of the sample run, on a GPU repeated within one run. Without this call the first chunk is the
    /// sample. Has no effect once the session is settled.
    pub fn settle(&self, sample: &[&Tensors]) -> Precision {
        self.form_by(sample).precision
    }

    /// Returns the form of the model, settled on `sample` if it is still open.
    pub(super) fn form_by(&self, sample: &[&Tensors]) -> &Form {
        let step = sample.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<&Tensors> = sample.iter().copied().step_by(step).collect();
        let mut run = |engine: &dyn DeviceSession, times: usize| {
            let sample = sample.repeat(times);
            let mut results = Vec::new();
            results.resize_with(sample.len(), || None);
            // The recorded device is dropped: these results are not handed on.
            let ran = panics::catch(|| {
                ran_on::recorded(|| with_workers(1, || self.infer_on(engine, &sample, &mut Slots::new(&mut results))));
                Ok(())
            });
            if ran.is_err() {
                results.fill_with(|| None);
            }
            results.into_iter().map(|result| result.and_then(Result::ok)).collect()
        };
        self.choice.settle(&mut run)
    }
}
