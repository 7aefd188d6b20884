//! The two jobs as wholes, in items a second: `cargo bench --bench jobs`, after `tests/setup.sh`.

#[path = "../examples/identify/features.rs"]
mod features;
#[path = "../examples/identify/identifier.rs"]
mod identifier;
#[path = "../examples/identify/labels.rs"]
mod labels;
#[path = "support/timing.rs"]
mod timing;

use std::{env, fs, path::PathBuf, time::Duration};

use gristmill::{Device, SessionOptions, bulk::Bulk, text::Embedder};
use identifier::Identifier;
use timing::Timing;

/// Each job is repeated for so long.
const TIME: Duration = Duration::from_secs(5);

/// The folder that `tests/setup.sh` fills.
fn data() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    env::var_os("GRISTMILL_TEST_DATA").map_or_else(default, PathBuf::from)
}

fn identify(timing: &Timing) {
    // The crate's own sources stand for a folder of files.
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let entries = fs::read_dir(sources).expect("the sources are there").flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    let identifier = Identifier::load(&SessionOptions::on(Device::Cpu)).expect("the model is bundled");
    let bulk = Bulk::pipeline(identifier.pipeline());
    timing.measure("identify, sources", paths.len(), TIME, || bulk.run(&paths));
}

fn embed(timing: &Timing) {
    let folder = data().join("minilm");
    let Ok(embedder) = Embedder::open(&folder, Device::Cpu) else {
        eprintln!("embed: left out, {} is missing: run tests/setup.sh", folder.display());
        return;
    };
    let glosses = fs::read_to_string(data().join("glosses.txt")).expect("tests/setup.sh made it with the model");
    let texts: Vec<&str> = glosses.lines().take(500).collect();
    timing.measure("embed, 500 glosses", texts.len(), TIME, || embedder.embed(&texts));
}

fn main() {
    let timing = Timing::from_args();
    identify(&timing);
    embed(&timing);
}
