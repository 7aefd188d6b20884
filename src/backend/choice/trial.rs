//! The choice between the CPU and a GPU: both run a sample, and the faster one is kept.
//!
//! The measure is the speed of a bulk job. On the CPU it is one thread's speed times the job's threads; on a GPU it is
//! the speed of runs that are long enough to fill it, for which the sample is repeated within one run.

use std::time::{Duration, Instant};

use crate::{
    backend::{
        choice::form::{Form, NOTHING_RAN, Outcome, RunSample, Unlike, compare},
        device::DeviceSession,
    },
    tensor::Tensors,
    threads::split,
};

/// Each device is timed repeatedly for at least this long.
const TIMING: Duration = Duration::from_millis(200);
/// Maximum number of timed passes over the sample.
const ROUNDS: usize = 10;
/// Longest run that a GPU is tried with.
const LONGEST: Duration = Duration::from_millis(100);
/// The sample grows by this factor while that makes the GPU faster by [`PAYS`].
const STEP: usize = 4;
/// Least gain in speed that a longer run must bring.
const PAYS: f64 = 1.05;
/// Maximum number of inputs of a run that a GPU is tried with.
const MOST_INPUTS: usize = 1 << 16;
/// Maximum bytes of outputs of a run that a GPU is tried with.
const MOST_BYTES: usize = 256 << 20;
/// Least cosine between the outputs of both devices.
///
/// They differ by rounding alone; a larger difference means a broken driver.
const LEAST_COSINE: f64 = 0.99;

/// The measured speed of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Speed {
    inputs_per_second: f64,
    /// Number of inputs in the fastest runs.
    inputs: usize,
}

/// Returns the GPU's form if it is faster, else the CPU's; drops the other one.
///
/// The GPU's measured speed is multiplied by `favoured`.
pub(crate) fn choose(cpu: Form, gpu: Form, favoured: u32, run: &mut RunSample<'_>) -> Form {
    let adapter = gpu.engine.report().device;
    let threads = split::threads();
    let (take, why) = match measure(&*cpu.engine, &*gpu.engine, threads, run) {
        Ok((own, there)) => {
            let there = Speed { inputs_per_second: there.inputs_per_second * f64::from(favoured), ..there };
            decide(own, there, threads, &adapter)
        }
        Err(why) => (false, why),
    };
    let device = if take { &adapter } else { "cpu" };
    tracing::info!(device, why, "device chosen");
    let why = format!("device auto: {device}: {why}");
    let taken = if take { gpu } else { cpu };
    let note = taken.note.map_or_else(|| why.clone(), |note| format!("{note}; {why}"));
    Form { note: Some(note), ..taken }
}

/// Decides whether to take the GPU, and says why.
fn decide(cpu: Speed, gpu: Speed, threads: usize, adapter: &str) -> (bool, String) {
    let take = gpu.inputs_per_second > cpu.inputs_per_second;
    let why = format!(
        "{:.4e} inputs/s on the cpu (one thread's speed times {threads}, {} inputs a run), {:.4e} on {adapter} ({} inputs a run)",
        cpu.inputs_per_second, cpu.inputs, gpu.inputs_per_second, gpu.inputs
    );
    (take, why)
}

/// Measures the speed of the CPU with all its threads and that of the GPU.
///
/// # Errors
/// Why the GPU is out of the question.
fn measure(
    cpu: &dyn DeviceSession,
    gpu: &dyn DeviceSession,
    threads: usize,
    run: &mut RunSample<'_>,
) -> Result<(Speed, Speed), String> {
    let mut timed = |device: &dyn DeviceSession, times: usize| {
        let start = Instant::now();
        (run(device, times), start.elapsed())
    };
    // These passes grow arenas, touch weights and compile shaders, so their times do not count.
    let (exact, (other, _)) = (timed(cpu, 1).0, timed(gpu, 1));
    match compare(&exact, &other) {
        Ok((_, cosine)) if cosine >= LEAST_COSINE => {}
        Ok((_, cosine)) => return Err(format!("the gpu's outputs are not the cpu's: their cosine is {cosine:.6}")),
        Err(Unlike::Fails) => return Err("the gpu fails where the cpu does not".to_owned()),
        Err(Unlike::Nothing) => return Err(NOTHING_RAN.to_owned()),
        Err(Unlike::Unjudged) => {}
    }
    let inputs = exact.len();
    let mut fastest = |device: &dyn DeviceSession, times: usize| {
        let start = Instant::now();
        let mut best = Duration::MAX;
        for round in 0..ROUNDS {
            if round > 0 && start.elapsed() > TIMING {
                break;
            }
            best = best.min(timed(device, times).1);
        }
        let inputs = inputs * times;
        (Speed { inputs_per_second: inputs as f64 / best.as_secs_f64().max(1e-9), inputs }, best)
    };
    let (mut own, _) = fastest(cpu, 1);
    own.inputs_per_second *= threads as f64;
    let (mut best, mut took) = fastest(gpu, 1);
    let most = most_times(&exact);
    let mut times = STEP;
    while times <= most && took.saturating_mul(STEP as u32) <= LONGEST {
        let (next, next_took) = fastest(gpu, times);
        if next.inputs_per_second < best.inputs_per_second * PAYS {
            break;
        }
        (best, took, times) = (next, next_took, times * STEP);
    }
    Ok((own, best))
}

/// Maximum number of repetitions of the sample within one run.
fn most_times(outcome: &Outcome) -> usize {
    let bytes: usize = outcome.iter().flatten().map(Tensors::byte_len).sum();
    (MOST_BYTES / bytes.max(1)).min(MOST_INPUTS / outcome.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(inputs_per_second: f64) -> Speed {
        Speed { inputs_per_second, inputs: 32 }
    }

    #[test]
    fn the_faster_device_is_taken_and_the_figures_are_named() {
        let (take, why) = decide(speed(1000.0), speed(999.0), 4, "gpu 0: card");
        assert!(!take);
        assert!(why.contains("1.0000e3") && why.contains("9.9900e2") && why.contains("times 4"), "{why}");
        assert!(why.contains("gpu 0: card"), "{why}");
        assert!(decide(speed(1000.0), speed(1001.0), 4, "gpu").0);
        // NaN is never the faster speed.
        assert!(!decide(speed(1000.0), speed(f64::NAN), 4, "gpu").0);
    }

    #[test]
    fn a_sample_is_repeated_within_bounds() {
        let tensor = || Some(Tensors::new().with("y", crate::Tensor::new([1 << 20], &vec![0.0f32; 1 << 20]).unwrap()));
        assert_eq!(most_times(&vec![tensor(), None]), 64);
        assert_eq!(most_times(&vec![None; 32]), MOST_INPUTS / 32);
    }
}
