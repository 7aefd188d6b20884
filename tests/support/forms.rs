//! The forms of a model on the CPU that a test goes through.

use gristmill::{Device, KernelSet, Precision, SessionOptions};

/// Every kernel set in f32; in bf16 the best one and the best that emulates it.
pub fn forms() -> Vec<SessionOptions> {
    let of = |precision, sets: Vec<KernelSet>| {
        sets.into_iter().map(move |set| SessionOptions::on(Device::Cpu).kernel_set(set).precision(precision))
    };
    let f32 = of(Precision::F32, KernelSet::available());
    let emulating = KernelSet::available_bf16().into_iter().find(|set| !set.has_bf16());
    let mut sets: Vec<_> = [KernelSet::detect_bf16()].into_iter().chain(emulating).collect();
    sets.dedup();
    f32.chain(of(Precision::Bf16, sets)).collect()
}
