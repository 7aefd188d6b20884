//! The trip kit: what a card does, measured by one command on a machine without network, toolkit or thought.
//!
//! `benches/card/pack FOLDER` makes the kit; see README.md beside this file. The binary has three commands:
//!
//! ```text
//! card run FOLDER [--tiny]         every step, each in a process of its own; leaves card.json and card.md in FOLDER
//! card step NAME FOLDER [--tiny]   one step
//! card counts [--tiny]             what a chunk of an encoder does, and the time that a card would take for it
//! ```

mod chain;
mod figure;
mod plan;
mod process;
mod steps;
mod summary;
mod trip;
mod weights;

use std::{path::PathBuf, process::ExitCode};

/// A failure of a step.
type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What a step returns.
type Outcome = Result<(), Failure>;

/// What all steps share.
pub struct Kit {
    /// The folder of the kit.
    pub folder: PathBuf,
    /// Whether shapes are tiny, for a rehearsal on a software adapter.
    pub tiny: bool,
}

impl Kit {
    /// One of two numbers: the real one, or that of a rehearsal.
    pub fn pick<T>(&self, real: T, tiny: T) -> T {
        if self.tiny { tiny } else { real }
    }

    /// The number or name of the adapter to use, if the first step has found one.
    pub fn adapter() -> Option<String> {
        std::env::var("GRISTMILL_TEST_ADAPTER").ok()
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (flags, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.starts_with("--"));
    let kit = |folder: &str| Kit { folder: folder.into(), tiny: flags.iter().any(|flag| flag == "--tiny") };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", folder] => trip::run(&kit(folder)),
        ["step", name, folder] => steps::run(name, &kit(folder)),
        ["counts"] => steps::counts::run(&kit(".")),
        _ => {
            println!("card: left out; it takes `run FOLDER`, `step NAME FOLDER` or `counts`");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
