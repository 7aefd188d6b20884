//! Times of the steps of a chunk, by the device's timestamps.

use std::collections::BTreeMap;

use crate::{
    Kit, Outcome, figure,
    steps::{
        counts::{between, items, profiled, run_chunk, sum},
        encoders, ways,
    },
};
use gristmill::{Inference, testing::backend::StepProfile};

pub fn run(kit: &Kit) -> Outcome {
    for encoder in encoders(kit) {
        for (way, options) in ways() {
            let session = profiled(kit, &encoder, options)?;
            if way.contains("matrices") && !session.describe().kernel_set.contains("cooperative") {
                continue;
            }
            let tokens = kit.pick(128, 16);
            let items = items(kit.pick(32_768, 32) / tokens, tokens)?;
            run_chunk(&session, &items)?;
            let before = session.profile().unwrap_or_default();
            run_chunk(&session, &items)?;
            let profile = between(&before, &session.profile().ok_or("there is no profile")?);
            if !profile.is_timed {
                figure::note("the adapter has no timestamps");
                return Ok(());
            }
            let table = format!("{}, {} texts of {tokens} tokens, {way}", encoder.name, items.len());
            let mut kinds: BTreeMap<String, Vec<&StepProfile>> = BTreeMap::new();
            for step in &profile.steps {
                kinds.entry(kind(&step.name)).or_default().push(step);
            }
            let mut kinds: Vec<_> =
                kinds.into_iter().map(|(kind, steps)| (kind, steps.len(), sum(steps.into_iter()))).collect();
            kinds.sort_by_key(|(.., sum)| std::cmp::Reverse(sum.nanoseconds));
            kinds.push(("all".to_owned(), profile.steps.len(), sum(profile.steps.iter())));
            for (kind, count, sum) in kinds {
                let seconds = sum.nanoseconds as f64 / 1e9;
                let cell = |column: &str, value: f64| figure::cell(&table, &kind, column, value);
                cell("steps", count as f64);
                cell("ms", seconds * 1e3);
                cell("TFLOP/s", sum.flop as f64 / seconds / 1e12);
                cell("GB/s", sum.bytes as f64 / seconds / 1e9);
            }
        }
    }
    Ok(())
}

/// The name of a node without the number of its layer.
fn kind(name: &str) -> String {
    let mut kind = String::new();
    for part in name.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()) {
        kind.push_str(part);
        kind.push('#');
    }
    kind.trim_end_matches('#').to_owned()
}
