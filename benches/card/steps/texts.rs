//! Texts a second of both encoders, short and of 128 tokens.

use gristmill::{Device, SessionOptions, bulk::Report};

use crate::{
    Failure, Kit, Outcome, figure,
    steps::{embedder, encoders, glosses, long_texts, ways, without_matrices},
    weights::Encoder,
};

pub fn run(kit: &Kit) -> Outcome {
    // The long texts first: what is short is mostly the host's work.
    for (length, tokens) in [("128 tokens", kit.pick(128, 16)), ("glosses", 256)] {
        for encoder in encoders(kit) {
            let few = encoder.layers > 6;
            let count = match (length, few) {
                ("glosses", false) => kit.pick(60_000, 24),
                ("glosses", true) => kit.pick(20_000, 8),
                (_, false) => kit.pick(12_000, 4),
                (_, true) => kit.pick(4_000, 2),
            };
            let texts = if length == "glosses" { glosses(kit, count)? } else { long_texts(kit, count, tokens)? };
            for (way, options) in ways() {
                one(kit, &encoder, (way, options), length, (&texts, tokens))?;
            }
            let cpu = ("cpu, f32", SessionOptions::on(Device::Cpu));
            one(kit, &encoder, cpu, length, (&texts[..count.div_ceil(20)], tokens))?;
        }
    }
    Ok(())
}

/// One job, after a short one that compiles.
fn one(
    kit: &Kit,
    encoder: &Encoder,
    (way, options): (&str, SessionOptions),
    length: &str,
    (texts, tokens): (&[String], usize),
) -> Outcome {
    let row = format!("{}, {length}, {way}", encoder.name);
    let embedder = embedder(kit, encoder, options, tokens)?;
    let bulk = embedder.bulk();
    bulk.run(&texts[..texts.len().min(64)]);
    let report = job(&bulk.run(texts).1, &row)?;
    figure::cell("job", &row, "texts/s", report.items_per_second);
    figure::cell("job", &row, "chunks", report.chunks);
    figure::cell("job", &row, "largest chunk", report.chunk_items.max);
    figure::cell("job", &row, "drivers busy", busy(&report.driver_busy));
    figure::cell("job", &row, "workers busy", busy(&report.worker_busy));
    let transfers = report.notes.iter().find(|note| note.starts_with("transfers took"));
    figure::cell("job", &row, "transfers", transfers.map_or("", |note| note.split(' ').nth(2).unwrap_or("")));
    without_matrices(&report.notes);
    Ok(())
}

/// A report of a job whose items all succeeded.
pub fn job(report: &Report, name: &str) -> Result<Report, Failure> {
    if report.errors > 0 {
        return Err(format!("{name}: {} of {} items failed", report.errors, report.items).into());
    }
    Ok(report.clone())
}

/// The mean share of the time that threads were busy.
fn busy(shares: &[f64]) -> f64 {
    if shares.is_empty() { 0.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}
