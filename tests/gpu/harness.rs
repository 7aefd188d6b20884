//! The GPU backend on an adapter: every operator's cases against the oracle, and whole models against the CPU.
//!
//! The adapter is Mesa's software one, or the one that `GRISTMILL_TEST_ADAPTER` names. Where there is none the tests
//! show as ignored.

mod devices;
mod families;
#[path = "../../examples/identify/features.rs"]
#[allow(dead_code, reason = "a part is used")]
mod features;
#[path = "../../examples/identify/labels.rs"]
#[allow(dead_code, reason = "a part is used")]
mod labels;
mod models;
#[path = "../../examples/common/onnx_cases.rs"]
#[allow(dead_code, reason = "a part is used")]
mod onnx_cases;
mod operators;
#[path = "../oracle/mod.rs"]
mod oracle;
mod precision;
mod sessions;
#[path = "../support/mod.rs"]
mod support;

use gristmill::{Device, GpuOptions, SessionOptions, gpu};
use libtest_mimic::{Arguments, Failed, Trial};

/// What a test returns.
type Outcome = Result<(), Failed>;

/// How the adapter under test is named.
fn adapter() -> String {
    std::env::var("GRISTMILL_TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".to_owned())
}

/// The adapter under test.
fn on_adapter() -> GpuOptions {
    GpuOptions::adapter(adapter())
}

fn options(gpu: GpuOptions) -> SessionOptions {
    SessionOptions::on(Device::Gpu).gpu(gpu)
}

/// Whether the adapter under test is a software one.
fn is_software() -> bool {
    let name = adapter().to_lowercase();
    let own = gpu::adapters().into_iter().find(|own| own.name.to_lowercase().contains(&name));
    own.is_some_and(|own| own.kind == gpu::AdapterType::Software)
}

/// Whether numbers differ by `most` somewhere, or one is no number.
fn differ(a: &[f32], b: &[f32], most: f32) -> bool {
    a.len() != b.len() || !a.iter().zip(b).all(|(a, b)| (a - b).abs() < most)
}

fn main() {
    let arguments = Arguments::from_args();
    let name = adapter().to_lowercase();
    let present = gpu::adapters().iter().any(|adapter| adapter.name.to_lowercase().contains(&name));
    // Opened once for all tests.
    let held = present.then(|| sessions::holder(&on_adapter()));
    let needs_adapter = operators::trials().into_iter().chain(sessions::trials()).chain(models::trials());
    let needs_adapter = needs_adapter.chain(families::trials()).chain(precision::trials()).chain(devices::trials());
    let mut trials: Vec<Trial> = needs_adapter.map(|trial| trial.with_ignored_flag(!present)).collect();
    trials.extend(devices::without_adapter());
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(held);
    conclusion.exit();
}
