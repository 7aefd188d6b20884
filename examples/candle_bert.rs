//! Embeds the lines of a text file with a BERT written in candle: in a plain loop, and in bulk.
//!
//! ```sh
//! cargo run --release --features candle --example candle_bert -- --model all-MiniLM-L6-v2 texts.txt
//! ```
//!
//! Prints both rates and the largest difference between the vectors. The bulk job runs in a process of its own, whose
//! environment keeps candle from starting threads of its own.

mod common;

use std::{
    collections::HashMap,
    env,
    error::Error as StdError,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use candle_core::{D, Device, Result as CandleResult, Tensor};
use common::{Common, Failure, Flag, Outcome};
use gristmill::{Error, Pipeline, bulk::Bulk, candle::CandleModel, text::TextTokenizer};
use lexopt::Parser;

const USAGE: &str = "\
usage: candle_bert --model DIR TEXTS [FLAGS]

Embeds each line of TEXTS with a BERT of the Hugging Face folder DIR, written with candle: one text after another in a
plain loop, then in bulk.

  --model DIR       a folder with config.json, model.safetensors and tokenizer.json
  --max-tokens N    truncate texts to N tokens (256)";

/// The file to which the process of the bulk job writes its vectors; set in that process only.
const VECTORS: &str = "GRISTMILL_CANDLE_VECTORS";

fn main() -> ExitCode {
    common::main(embed)
}

fn embed(command_line: Parser) -> Outcome {
    let (mut model, mut texts, mut max_tokens) = (None, None, 256);
    let common = Common::parse(command_line, USAGE, |flag, parser| {
        match flag {
            Flag::Named("model") => model = Some(PathBuf::from(parser.value()?)),
            Flag::Named("max-tokens") => max_tokens = lexopt::ValueExt::parse(&parser.value()?)?,
            Flag::Value(value) if texts.is_none() => texts = Some(PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let model = model.ok_or_else(|| Failure::usage("--model DIR is missing; see --help"))?;
    let texts = texts.ok_or_else(|| Failure::usage("TEXTS is missing; see --help"))?;
    let texts = fs::read_to_string(&texts).map_err(|error| format!("reading {}: {error}", texts.display()))?;
    let bert = Bert::open(&model)?;
    let tokenizer = TextTokenizer::open(&model.join("tokenizer.json"), max_tokens)?;
    let tokens = move |text: &str| -> Result<Tensor, Box<dyn StdError + Send + Sync>> {
        let ids = tokenizer.encode(text)?.ids;
        let count = ids.len();
        Ok(Tensor::from_vec(ids, count, &Device::Cpu)?)
    };

    if let Some(out) = env::var_os(VECTORS) {
        let pipeline = Pipeline::new(CandleModel::per_item(move |ids: &Tensor| bert.embed(ids)))
            .prepare(tokens)
            .item_bytes(|text: &str| text.len())
            .finish(|_, vector| Ok(vector.to_vec1::<f32>()?));
        let lines: Vec<String> = texts.lines().map(str::to_owned).collect();
        let mut results = common.bulk(Bulk::pipeline(pipeline)).map(common.stop().until(lines.into_iter()));
        let mut bytes = Vec::new();
        for result in results.by_ref() {
            bytes.extend(result?.iter().flat_map(|value| value.to_le_bytes()));
        }
        fs::write(out, bytes)?;
        let report = results.report();
        writeln!(io::stdout(), "bulk:       {:>8.1} texts/s on {} workers", report.items_per_second, report.workers)?;
        return common.end(&report);
    }

    let started = Instant::now();
    let mut plain = Vec::new();
    for text in texts.lines() {
        let vector = bert.embed(&tokens(text)?).and_then(|vector| vector.to_vec1::<f32>());
        plain.extend(vector.map_err(Error::user)?);
    }
    let count = texts.lines().count();
    writeln!(io::stdout(), "plain loop: {:>8.1} texts/s", count as f64 / started.elapsed().as_secs_f64())?;
    let bulk = in_bulk()?;
    if bulk.len() != plain.len() {
        return Err(format!("{} values in bulk, {} in a plain loop", bulk.len(), plain.len()).into());
    }
    let difference = bulk.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    writeln!(io::stdout(), "largest difference of {count} vectors: {difference:e}")?;
    Ok(0)
}

/// Runs this program again for the bulk job, and returns its vectors.
fn in_bulk() -> Result<Vec<f32>, Box<dyn StdError>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("vectors");
    let job = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("CANDLE_NUM_THREADS", "1")
        .env(VECTORS, &out)
        .status()?;
    if !job.success() {
        return Err(format!("the bulk job ended with {job}").into());
    }
    Ok(fs::read(out)?.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

/// A BERT encoder with the mean over tokens, scaled to length 1.
struct Bert {
    weights: HashMap<String, Tensor>,
    layers: usize,
    heads: usize,
    epsilon: f64,
}

impl Bert {
    fn open(folder: &Path) -> Result<Self, Box<dyn StdError>> {
        let config: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
        let number = |name: &str| config[name].as_u64().ok_or(format!("config.json: `{name}` is missing"));
        Ok(Self {
            weights: candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?,
            layers: number("num_hidden_layers")? as usize,
            heads: number("num_attention_heads")? as usize,
            epsilon: config["layer_norm_eps"].as_f64().unwrap_or(1e-12),
        })
    }

    /// The vector `[hidden]` of token numbers `[tokens]`.
    fn embed(&self, ids: &Tensor) -> CandleResult<Tensor> {
        let tokens = ids.dim(0)?;
        let table = |name: &str| self.weight(&format!("embeddings.{name}_embeddings.weight"));
        let x = table("word")?.index_select(ids, 0)?;
        let x = (x + table("position")?.narrow(0, 0, tokens)?)?.broadcast_add(&table("token_type")?.get(0)?)?;
        let mut x = self.layer_norm(&x, "embeddings.LayerNorm")?;
        for layer in 0..self.layers {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let attended =
                self.linear(&self.attention(&x, &name("attention.self"))?, &name("attention.output.dense"))?;
            x = self.layer_norm(&(x + attended)?, &name("attention.output.LayerNorm"))?;
            let wide = self.linear(&x, &name("intermediate.dense"))?.gelu_erf()?;
            x = self.layer_norm(&(x + self.linear(&wide, &name("output.dense"))?)?, &name("output.LayerNorm"))?;
        }
        let mean = x.mean(0)?;
        mean.broadcast_div(&mean.sqr()?.sum_all()?.sqrt()?)
    }

    /// Self-attention, from `[tokens, hidden]` to the same shape.
    fn attention(&self, x: &Tensor, name: &str) -> CandleResult<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let size = hidden / self.heads;
        let heads = |part: &str| {
            let x = self.linear(x, &format!("{name}.{part}"))?;
            x.reshape((tokens, self.heads, size))?.transpose(0, 1)?.contiguous()
        };
        let (query, key, value) = (heads("query")?, heads("key")?, heads("value")?);
        let scores = (query.matmul(&key.t()?)? / (size as f64).sqrt())?;
        let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        weights.matmul(&value)?.transpose(0, 1)?.reshape((tokens, hidden))
    }

    fn linear(&self, x: &Tensor, name: &str) -> CandleResult<Tensor> {
        let weight = self.weight(&format!("{name}.weight"))?;
        x.matmul(&weight.t()?)?.broadcast_add(self.weight(&format!("{name}.bias"))?)
    }

    fn layer_norm(&self, x: &Tensor, name: &str) -> CandleResult<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        let scaled = centred.broadcast_div(&deviation)?.broadcast_mul(self.weight(&format!("{name}.weight"))?)?;
        scaled.broadcast_add(self.weight(&format!("{name}.bias"))?)
    }

    fn weight(&self, name: &str) -> CandleResult<&Tensor> {
        self.weights.get(name).ok_or_else(|| candle_core::Error::Msg(format!("the file has no `{name}`")))
    }
}
