//! Whole models against the CPU.

use std::{fs, path::PathBuf};

use gristmill::{
    Device, Inference, Model, Session, SessionOptions, Slots, Tensor, Tensors,
    testing::import::hugging_face::{FolderOptions, open},
    text::{Embedder, EmbedderOptions},
};
use libtest_mimic::Trial;

use crate::{
    Outcome, differ,
    features::{Features, of_path},
    labels::Labels,
    on_adapter,
    onnx_cases::{self, State},
    options,
    support::data,
};

/// The least cosine of an f32 encoder's vectors.
const COSINE: f64 = 0.9999;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("models::labels_are_those_of_the_cpu", labels),
        Trial::test("models::lengths_of_sequences", lengths),
        Trial::test("models::vectors_of_glosses_are_those_of_the_cpu", vectors),
        Trial::test("models::the_padded_encoder_agrees", padded),
        Trial::test("models::cases_of_onnx_agree", cases_of_onnx),
    ]
}

pub fn is_full() -> bool {
    std::env::var_os("GRISTMILL_FULL").is_some_and(|value| value == "1")
}

/// Runs the items as one chunk.
fn run(session: &Session, items: &[Tensors]) -> gristmill::Result<Vec<Tensors>> {
    let items: Vec<&Tensors> = items.iter().collect();
    let mut results: Vec<Option<gristmill::Result<Tensors>>> = Vec::new();
    results.resize_with(items.len(), || None);
    session.infer(&items, &mut Slots::new(&mut results))?;
    results.into_iter().map(|result| result.expect("every slot is filled")).collect()
}

/// What the bundled model sees of the goldens and, in the full tier, of this repository's own files.
fn files() -> Result<Vec<Tensors>, libtest_mimic::Failed> {
    let features: Vec<i32> = data::elements(&data::arrays("magika.npz"), "features");
    let item = |features: &[i32]| Ok(Tensors::from([("bytes", Tensor::new([1, 2048], features)?)]));
    let mut items: Vec<Tensors> = features.chunks(2048).map(item).collect::<gristmill::Result<_>>()?;
    if !is_full() {
        items.truncate(48);
        return Ok(items);
    }
    let labels = Labels::bundled()?;
    let own = ["src", "tests", "docs", "examples", "benches"];
    let mut folders: Vec<PathBuf> = own.map(|own| data::root().join(own)).into();
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Features::Bytes(tensors) = of_path(&path, labels.config())? {
                items.push(tensors);
            }
        }
    }
    // Halves of files are files of their own.
    let mut halves = Vec::new();
    for tensors in &items {
        let (name, tensor) = tensors.iter().next().expect("there is one input");
        let mut half = tensor.as_slice::<i32>()?.to_vec();
        half[512..1536].fill(256);
        halves.push(Tensors::new().with(name, Tensor::new([1, 2048], &half)?));
    }
    items.extend(halves);
    items.truncate(520);
    Ok(items)
}

fn labels() -> Outcome {
    let model = || Model::from_bytes(include_bytes!("../../examples/models/magika/model.onnx"));
    let gpu = model()?.session(&options(on_adapter()))?;
    if !gpu.host_operators().is_empty() {
        return Err(format!("on the host: {:?}", gpu.host_operators()).into());
    }
    let cpu = model()?.session(&SessionOptions::on(Device::Cpu))?;
    let items = files()?;
    if is_full() && items.len() < 500 {
        return Err(format!("only {} files", items.len()).into());
    }
    let best = |outputs: &Tensors| -> gristmill::Result<(usize, f32)> {
        let scores = outputs.get("target_label").expect("the model has its output").as_slice::<f32>()?;
        Ok(scores.iter().copied().enumerate().fold((0, f32::MIN), |a, b| if b.1 > a.1 { b } else { a }))
    };
    for items in items.chunks(64) {
        for (index, (own, other)) in run(&gpu, items)?.iter().zip(&run(&cpu, items)?).enumerate() {
            let (own, other) = (best(own)?, best(other)?);
            if own.0 != other.0 || (own.1 - other.1).abs() > 2e-3 {
                return Err(format!("file {index}: {own:?} instead of {other:?}").into());
            }
        }
    }
    Ok(())
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn agree(name: &str, own: &[f32], other: &[f32]) -> Outcome {
    let cosine = cosine(own, other);
    if own.len() == other.len() && cosine >= COSINE { Ok(()) } else { Err(format!("{name}: cosine {cosine}").into()) }
}

fn lengths() -> Outcome {
    let session = |options: &SessionOptions| -> gristmill::Result<Session> {
        let folder = open(data::data("minilm"), &FolderOptions::default())?;
        Session::load(folder.graph, &options.clone().outputs(["sentence_embedding"]))
    };
    let (gpu, cpu) = (session(&options(on_adapter()))?, session(&SessionOptions::on(Device::Cpu))?);
    if !gpu.host_operators().is_empty() {
        return Err(format!("on the host: {:?}", gpu.host_operators()).into());
    }
    let item = |tokens: usize| -> gristmill::Result<Tensors> {
        let ids: Vec<i32> = (0..tokens).map(|at| 1000 + (at * 7919 % 20_000) as i32).collect();
        let positions: Vec<i32> = (0..tokens as i32).collect();
        Ok(Tensors::new()
            .with("input_ids", Tensor::new([tokens], &ids)?)
            .with("token_type_ids", Tensor::new([tokens], &vec![0i32; tokens])?)
            .with("position_ids", Tensor::new([tokens], &positions)?))
    };
    let items = [1, 63, 64, 65, 256].map(item).into_iter().collect::<gristmill::Result<Vec<_>>>()?;
    let vector = |tensors: &Tensors| {
        tensors.get("sentence_embedding").expect("the output is there").as_slice::<f32>().map(<[f32]>::to_vec)
    };
    let (together, expected) = (run(&gpu, &items)?, run(&cpu, &items)?);
    for ((item, own), other) in items.iter().zip(&together).zip(&expected) {
        let name = format!("{} tokens", item.get("input_ids").expect("it is there").len());
        agree(&name, &vector(own)?, &vector(other)?)?;
        // The same text alone: its tiles are counted from its own start.
        let alone = vector(&gpu.run(item)?)?;
        if differ(&alone, &vector(own)?, 1e-5) {
            return Err(format!("{name}: neighbours change the vector").into());
        }
    }
    Ok(())
}

/// Lines of WordNet, far apart.
pub fn glosses(count: usize) -> std::io::Result<Vec<String>> {
    let text = fs::read_to_string(data::data("glosses.txt"))?;
    Ok(text.lines().step_by(37).take(count).map(str::to_owned).collect())
}

fn vectors() -> Outcome {
    let texts = glosses(if is_full() { 200 } else { 40 })?;
    let embedder = |options: SessionOptions| {
        Embedder::open_with(data::data("minilm"), &EmbedderOptions::default().session(options))
    };
    let own = embedder(options(on_adapter()))?.embed(&texts).map_err(|error| error.to_string())?;
    let other = embedder(SessionOptions::on(Device::Cpu))?.embed(&texts).map_err(|error| error.to_string())?;
    for ((own, other), text) in own.iter().zip(&other).zip(&texts) {
        agree(text, own, other)?;
    }
    Ok(())
}

fn padded() -> Outcome {
    let model = |options: &SessionOptions| Model::open(data::data("minilm.onnx"))?.session(options);
    let (gpu, cpu) = (model(&options(on_adapter()))?, model(&SessionOptions::on(Device::Cpu))?);
    let (rows, tokens) = (3usize, 17usize);
    let mut inputs = Tensors::new();
    for (name, _) in cpu.inputs() {
        let value = |at: usize| -> i64 {
            let (row, column) = (at / tokens, at % tokens);
            match name {
                "input_ids" => 2000 + (at as i64 * 311) % 20_000,
                // The last row is masked but for one token.
                "attention_mask" => i64::from(column < tokens - 8 * row),
                _ => 0,
            }
        };
        let values: Vec<i64> = (0..rows * tokens).map(value).collect();
        inputs.insert(name, Tensor::new([rows, tokens], &values)?);
    }
    let (own, other) = (gpu.run(&inputs)?, cpu.run(&inputs)?);
    for ((name, own), (_, other)) in own.iter().zip(other.iter()) {
        for (row, (own, other)) in
            own.as_slice::<f32>()?.chunks(384).zip(other.as_slice::<f32>()?.chunks(384)).enumerate()
        {
            agree(&format!("{name} row {row}"), own, other)?;
        }
    }
    Ok(())
}

/// At least so many of ONNX's own cases pass. The number may only grow.
const PASSED: usize = 1600;

fn cases_of_onnx() -> Outcome {
    let folder = data::data("onnx");
    let cases = onnx_cases::run_all(&[folder], &options(on_adapter()))?;
    let failed: Vec<_> = cases.iter().filter(|(_, state)| matches!(state, State::Failed(_))).collect();
    if !failed.is_empty() {
        return Err(format!("{} failed:\n{failed:#?}", failed.len()).into());
    }
    let passed = cases.iter().filter(|(_, state)| state.reason().is_none()).count();
    println!("{passed} of {} passed", cases.len());
    if passed < PASSED { Err(format!("only {passed} passed").into()) } else { Ok(()) }
}
