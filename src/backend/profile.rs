//! What the steps of runs on a GPU do: dispatches, bytes, operations and times, for benches.

/// What the runs of a session did so far, if its options ask for a profile.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunProfile {
    /// Runs that ended without an error.
    pub runs: u64,
    /// Submissions to the device's queue.
    pub submissions: u64,
    /// Bytes of inputs sent to the device.
    pub bytes_up: u64,
    /// Bytes of results read back from the device.
    pub bytes_down: u64,
    /// Whether the adapter measures times; without that all times are 0.
    pub is_timed: bool,
    /// The steps in the order of a run, those on the host without dispatches.
    pub steps: Vec<StepProfile>,
}

/// What one step did in all runs.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepProfile {
    /// Description of the node.
    pub name: String,
    /// Dispatches of shaders.
    pub dispatches: u64,
    /// Bytes that the dispatches read and write, each operand of a dispatch counted once.
    pub bytes: u64,
    /// Multiplications and additions of products and attention.
    pub flop: u64,
    /// Nanoseconds on the device.
    pub nanoseconds: u64,
}

#[cfg(feature = "gpu")]
impl RunProfile {
    /// Adds what one run did; its steps are those of this profile, or fewer.
    pub(crate) fn add(&mut self, run: &Self) {
        self.runs += run.runs;
        self.submissions += run.submissions;
        self.bytes_up += run.bytes_up;
        self.bytes_down += run.bytes_down;
        self.is_timed |= run.is_timed;
        self.steps.resize_with(self.steps.len().max(run.steps.len()), StepProfile::default);
        for (all, own) in self.steps.iter_mut().zip(&run.steps) {
            all.name.clone_from(&own.name);
            all.dispatches += own.dispatches;
            all.bytes += own.bytes;
            all.flop += own.flop;
            all.nanoseconds += own.nanoseconds;
        }
    }
}
