//! The whole embedding job by a Rust peer: `peers ENGINE MODEL_DIR GRAPH.onnx TEXTS OUT.npy THREADS BATCH`
//!
//! Reads the texts, tokenizes, sorts by length, pads each batch to its longest text, runs, writes the vectors in the
//! order of the texts. ENGINE is `tract`, `rten` or `candle`; each has THREADS workers that pull batches and share one
//! copy of the weights. The last line printed is JSON: seconds for loading and for the rest.

mod engines;

use std::{
    cmp::Reverse,
    env,
    fs::{self, File},
    io::BufWriter,
    iter,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Error, Result, bail, ensure};
use engines::{Engine, load};
use npyz::WriterBuilder;
use rayon::ThreadPoolBuilder;
use tokenizers::{Tokenizer, TruncationParams};

/// Rows of tokens, each padded to the longest of them.
pub struct Batch {
    pub rows: usize,
    pub tokens: usize,
    /// `[rows, tokens]`; 0 where padded.
    pub ids: Vec<u32>,
    /// `[rows, tokens]`; 1 for a token, 0 for padding.
    pub mask: Vec<u32>,
}

impl Batch {
    /// `texts` come longest first.
    fn new(texts: &[&[u32]]) -> Self {
        let tokens = texts.first().map_or(0, |text| text.len());
        let padded = |text: &[u32], fill: fn(&u32) -> u32| {
            let padding = iter::repeat_n(0, tokens - text.len());
            text.iter().map(fill).chain(padding).collect::<Vec<_>>()
        };
        Self {
            rows: texts.len(),
            tokens,
            ids: texts.iter().flat_map(|text| padded(text, |&id| id)).collect(),
            mask: texts.iter().flat_map(|text| padded(text, |_| 1)).collect(),
        }
    }
}

fn main() -> ExitCode {
    match job() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, for the bench shows the last one.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn job() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [engine, folder, graph, texts, out, threads, size] = &arguments[..] else {
        bail!("usage: peers ENGINE MODEL_DIR GRAPH.onnx TEXTS OUT.npy THREADS BATCH");
    };
    let (threads, size): (usize, usize) = (threads.parse()?, size.parse()?);
    ensure!(threads > 0 && size > 0, "THREADS and BATCH are at least 1");
    let folder = Path::new(folder);
    // The pools that rten and candle keep for themselves: rten packs weights in its own, candle divides a product among
    // as many threads, although a worker has only itself.
    // SAFETY: no other thread runs yet.
    unsafe {
        env::set_var("RTEN_NUM_THREADS", threads.to_string());
        env::set_var("RAYON_NUM_THREADS", "1");
        env::set_var("CANDLE_NUM_THREADS", "1");
    }

    let start = Instant::now();
    let engine = load(engine, folder, Path::new(graph))?;
    let tokenizer = tokenizer(folder)?;
    let loaded = Instant::now();

    let lines = fs::read_to_string(texts).with_context(|| texts.clone())?;
    let lines: Vec<&str> = lines.strip_suffix('\n').unwrap_or(&lines).split('\n').collect();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    let encodings = pool.install(|| tokenizer.encode_batch_fast(lines, true)).map_err(Error::from_boxed)?;
    drop(pool);
    let ids: Vec<&[u32]> = encodings.iter().map(|encoding| encoding.get_ids()).collect();
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&text| Reverse(ids[text].len()));
    let parts: Vec<&[usize]> = order.chunks(size).collect();
    let batches: Vec<Batch> =
        parts.iter().map(|part| Batch::new(&part.iter().map(|&text| ids[text]).collect::<Vec<_>>())).collect();

    let mut vectors = vec![Vec::new(); ids.len()];
    for (batch, values) in run(&*engine, &batches, threads)? {
        let width = values.len() / batches[batch].rows;
        for (&text, vector) in parts[batch].iter().zip(values.chunks(width)) {
            vectors[text] = vector.to_vec();
        }
    }
    write(out, &vectors)?;
    println!(
        "{}",
        serde_json::json!({
            "load_seconds": (loaded - start).as_secs_f64(),
            "seconds": loaded.elapsed().as_secs_f64(),
        })
    );
    Ok(())
}

fn tokenizer(folder: &Path) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).map_err(Error::from_boxed)?;
    let config: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("sentence_bert_config.json"))?)?;
    let longest = config["max_seq_length"].as_u64().context("sentence_bert_config.json has no max_seq_length")?;
    let truncation = TruncationParams { max_length: longest as usize, ..TruncationParams::default() };
    tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(Error::from_boxed)?;
    Ok(tokenizer)
}

/// Each batch's number and vectors, in no order.
fn run(engine: &dyn Engine, batches: &[Batch], threads: usize) -> Result<Vec<(usize, Vec<f32>)>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Vec<f32>)>> {
        let mut worker = engine.worker()?;
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(number) else { return Ok(done) };
            done.push((number, worker(batch)?));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| Error::msg("a worker panicked"))??);
        }
        Ok(all)
    })
}

fn write(out: &str, vectors: &[Vec<f32>]) -> Result<()> {
    let shape = [vectors.len() as u64, vectors.first().map_or(0, Vec::len) as u64];
    let file = BufWriter::new(File::create(out).with_context(|| out.to_owned())?);
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd()?;
    for vector in vectors {
        writer.extend(vector)?;
    }
    Ok(writer.finish()?)
}
