//! Whole models against the CPU in f32, and the time until the first vector.

use std::time::Instant;

use gristmill::{Device, SessionOptions};

use crate::{
    Kit, Outcome, figure,
    steps::{embedder, encoders, glosses, long_texts, ways, without_matrices},
};

/// Cosines below this one are a fault.
const LEAST: f64 = 0.999;

pub fn run(kit: &Kit) -> Outcome {
    let mut bad = Vec::new();
    for encoder in encoders(kit) {
        let mut texts = glosses(kit, kit.pick(200, 3))?;
        texts.extend(long_texts(kit, kit.pick(16, 1), kit.pick(256, 32))?);
        let tokens = kit.pick(256, 32);
        let exact = embedder(kit, &encoder, SessionOptions::on(Device::Cpu), tokens)?.embed(&texts)?;
        for (way, options) in ways() {
            let row = format!("{}, {way}", encoder.name);
            let cell = |column: &str, value: f64| figure::cell("model", &row, column, value);
            let started = Instant::now();
            let own = embedder(kit, &encoder, options, tokens)?;
            cell("load ms", started.elapsed().as_secs_f64() * 1e3);
            for column in ["first vector ms", "next vector ms"] {
                let started = Instant::now();
                own.embed(&texts[..1])?;
                cell(column, started.elapsed().as_secs_f64() * 1e3);
            }
            let vectors = own.embed(&texts)?;
            let cosines: Vec<f64> = exact.iter().zip(&vectors).map(|(a, b)| cosine(a, b)).collect();
            // NaN is below every bound.
            let least = cosines.iter().copied().fold(1.0, |a, b| if b >= a { a } else { b });
            cell("1 - mean cosine", 1.0 - cosines.iter().sum::<f64>() / cosines.len() as f64);
            cell("1 - least cosine", 1.0 - least);
            let again = own.embed(&texts)?;
            figure::cell("model", &row, "same bits twice", if again == vectors { "yes" } else { "NO" });
            without_matrices(&own.describe().notes);
            if least.is_nan() || least < LEAST {
                bad.push(format!("{row}: a cosine of {least}"));
            }
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(bad.join("; ").into()) }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
