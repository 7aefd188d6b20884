//! Every family of encoders against transformers, and what of each runs on the host.

use std::{fs, path::PathBuf};

use gristmill::{
    Device, Session, SessionOptions,
    testing::import::hugging_face::{FolderOptions, open},
    text::{Embedder, EmbedderOptions},
};
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::{Outcome, differ, models::is_full, on_adapter, options, support::data};

/// The largest difference of a number to transformers'.
const MOST: f64 = 1e-4;

/// Families of which all parts occur in some other one; they run in the full tier.
const ALIKE: &[&str] = &[
    "albert",
    "data2vec-text",
    "deberta",
    "deberta-plain",
    "deberta-v2-groups",
    "distilbert",
    "electra",
    "ernie",
    "esm",
    "esm-table",
    "eurobert-dynamic",
    "gemma3-both-sides",
    "gemma3-linear",
    "gte",
    "llama",
    "mbart",
    "mt5",
    "qwen2-both-sides",
    "qwen3-llama3",
    "qwen3-yarn",
    "roberta",
    "t5-gated",
    "xlm-roberta-xl",
];

/// What a family runs on the host.
const ON_THE_HOST: &[(&str, &[&str])] = &[("nomic-bert-experts", &["Experts"])];

/// A text, its tokens, and the mean of its last hidden states.
#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    #[serde(default)]
    vector: Vec<f64>,
}

pub fn trials() -> Vec<Trial> {
    let folders = fs::read_dir(data::golden("encoders")).expect("the goldens are in the repository");
    let mut folders: Vec<_> = folders.map(|entry| entry.expect("it can be read").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let name = |path: &PathBuf| path.file_name().expect("it has a name").to_string_lossy().into_owned();
    let named = folders.into_iter().map(|path| (name(&path), path));
    let chosen = named.filter(|(name, _)| is_full() || !ALIKE.contains(&name.as_str()));
    let each = chosen.map(|(name, path)| Trial::test(format!("families::{name}"), move || family(&name, &path)));
    each.chain([Trial::test("families::texts_over_many_rows_and_keys", long_texts)]).collect()
}

/// Texts that are longer than a workgroup's rows, a tile of keys and a window, beside the CPU.
fn long_texts() -> Outcome {
    let words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"];
    let text = |length: usize| (0..length).map(|at| words[at * at % words.len()]).collect::<Vec<_>>().join(" ");
    let texts = [1, 70, 3, 150, 64, 33, 250].map(text);
    for name in ["deberta-v3", "gemma3-both-sides", "mistral", "modernbert", "qwen3", "t5"] {
        let path = data::golden("encoders").join(name);
        let vectors = |session: SessionOptions| -> gristmill::Result<_> {
            let options = EmbedderOptions::default().session(session).max_tokens(300);
            Embedder::open_with(&path, &options)?.embed(&texts).map_err(|error| error.source)
        };
        let (own, other) = (vectors(options(on_adapter()))?, vectors(SessionOptions::on(Device::Cpu))?);
        if let Some(at) = own.iter().zip(&other).position(|(own, other)| differ(own, other, 1e-4)) {
            return Err(format!("{name}: text {at} differs: {:?} and {:?}", own[at], other[at]).into());
        }
    }
    Ok(())
}

fn family(name: &str, path: &PathBuf) -> Outcome {
    let goldens: Vec<Golden> = serde_json::from_str(&fs::read_to_string(path.join("golden.json"))?)?;
    let mut goldens: Vec<_> = goldens.into_iter().filter(|golden| !golden.ids.is_empty()).collect();
    if !is_full() {
        // Of the longest and the shortest, which cross tiles of keys and windows.
        goldens.sort_by_key(|golden| golden.ids.len());
        let kept = goldens.len() / 2;
        goldens.drain(3..kept);
    }
    let texts: Vec<&str> = goldens.iter().map(|golden| golden.text.as_str()).collect();
    let embedder = Embedder::open_with(path, &EmbedderOptions::default().session(options(on_adapter())))?;
    for (golden, own) in goldens.iter().zip(embedder.embed(&texts).map_err(|error| error.to_string())?) {
        let differences = own.iter().zip(&golden.vector).map(|(&own, &other)| (f64::from(own) - other).abs());
        let most = differences.fold(0f64, f64::max);
        if own.len() != golden.vector.len() || most.is_nan() || most > MOST {
            return Err(format!("{:?} ({} tokens) differs by {most:e}", golden.text, golden.ids.len()).into());
        }
    }
    let session = Session::load(open(path, &FolderOptions::default())?.graph, &options(on_adapter()))?;
    let mut host: Vec<&str> = session.host_operators().into_iter().map(|host| host.operator).collect();
    host.sort();
    host.dedup();
    let due = ON_THE_HOST.iter().find(|(family, _)| *family == name).map_or(&[][..], |(_, due)| due);
    if host != due { Err(format!("on the host: {host:?} instead of {due:?}").into()) } else { Ok(()) }
}
