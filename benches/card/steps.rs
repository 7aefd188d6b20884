//! The steps that the kit's own binary runs, and what they share.

mod adapter;
mod auto;
pub mod counts;
mod identify;
mod in_flight;
mod kernels;
mod models;
mod peers;
mod products;
mod scaling;
mod texts;
mod transfers;

use std::fs;

use gristmill::{
    Device, GpuOptions, Precision, SessionOptions,
    text::{Embedder, EmbedderOptions},
};

use crate::{
    Failure, Kit, Outcome, figure,
    weights::{BERT, Encoder, MINILM},
};

/// Runs one step.
pub fn run(name: &str, kit: &Kit) -> Outcome {
    match name {
        "adapter" => adapter::run(kit),
        "weights" => weights(kit),
        "models" => models::run(kit),
        "products" => products::run(kit),
        "texts" => texts::run(kit),
        "kernels" => kernels::run(kit),
        "identify" => identify::run(kit),
        "transfers" => transfers::run(kit),
        "auto" => auto::run(kit),
        "in_flight" => in_flight::run(kit),
        "torch" => peers::torch(kit),
        "scaling" => scaling::run(kit),
        // One process of `scaling`: it must be pinned before it starts a thread.
        name if name.starts_with("scaling=") => scaling::one(kit, &name["scaling=".len()..]),
        name => Err(format!("there is no step `{name}`").into()),
    }
}

/// The encoders of the trip.
fn encoders(kit: &Kit) -> [Encoder; 2] {
    [MINILM, BERT].map(|encoder| if kit.tiny { encoder.tiny() } else { encoder })
}

/// Writes the folders of both encoders.
fn weights(kit: &Kit) -> Outcome {
    for encoder in encoders(kit) {
        let folder = kit.folder.join("data").join(encoder.name);
        encoder.write(&folder, &kit.folder.join("data/tokenizer.json"))?;
        let bytes = fs::metadata(folder.join("model.safetensors"))?.len();
        figure::cell("encoder", encoder.name, "MB of weights", bytes as f64 / 1e6);
    }
    Ok(())
}

/// The ways to run a model on the adapter, with their names.
fn ways() -> [(&'static str, SessionOptions); 3] {
    let on = |gpu: GpuOptions| SessionOptions::on(Device::Gpu).gpu(gpu);
    let f16 = |gpu: GpuOptions| on(gpu).precision(Precision::F16);
    let gpu = gpu();
    [("f32", on(gpu.clone())), ("f16", f16(gpu.clone())), ("f16 by matrices", f16(gpu.cooperative_matrices()))]
}

/// The options of the adapter that the trip is about.
fn gpu() -> GpuOptions {
    Kit::adapter().map_or_else(GpuOptions::default, GpuOptions::adapter)
}

/// Notes why a session that was asked to does not use cooperative matrices; true if it says so.
fn without_matrices(notes: &[String]) -> bool {
    let why = notes.iter().find(|note| note.starts_with("cooperative matrices are not used"));
    why.map(|note| figure::note(note.clone())).is_some()
}

/// An encoder of the kit, whose texts have at most so many tokens.
fn embedder(kit: &Kit, encoder: &Encoder, options: SessionOptions, tokens: usize) -> Result<Embedder, Failure> {
    let options = EmbedderOptions::default().session(options).max_tokens(tokens);
    Ok(Embedder::open_with(kit.folder.join("data").join(encoder.name), &options)?)
}

/// `count` short texts, all different: WordNet's glosses with a number.
fn glosses(kit: &Kit, count: usize) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(kit.folder.join("data/glosses.txt"))?;
    let lines: Vec<&str> = text.lines().collect();
    Ok((0..count).map(|at| format!("{} {}", lines[at * 37 % lines.len()], at / lines.len())).collect())
}

/// `count` texts of more than `tokens` tokens each.
fn long_texts(kit: &Kit, count: usize, tokens: usize) -> Result<Vec<String>, Failure> {
    let parts = tokens / 8;
    let all = glosses(kit, count + parts)?;
    Ok((0..count).map(|first| all[first..first + parts].join(" ")).collect())
}
