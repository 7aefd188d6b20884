//! The forms of a model on the CPU that a test goes through.

use gristmill::{Device, KernelSet, Precision, SessionOptions};

/// Every kernel set in f32; in bf16 the best one and the best that emulates it; in int8 the best one and the best
/// without an instruction for it.
pub fn forms() -> Vec<SessionOptions> {
    let of = |precision, sets: Vec<KernelSet>| {
        sets.into_iter().map(move |set| SessionOptions::on(Device::Cpu).kernel_set(set).precision(precision))
    };
    let f32 = of(Precision::F32, KernelSet::available());
    let emulating = KernelSet::available_bf16().into_iter().find(|set| !set.has_bf16());
    let mut sets: Vec<_> = [KernelSet::detect_bf16()].into_iter().chain(emulating).collect();
    sets.dedup();
    let named = |name| KernelSet::named(name).ok();
    let mut int8: Vec<_> =
        [Some(KernelSet::detect_int8()), named("avx2"), named("portable")].into_iter().flatten().collect();
    int8.truncate(2);
    int8.dedup();
    f32.chain(of(Precision::Bf16, sets)).chain(of(Precision::Int8, int8)).collect()
}
