//! The time of one text of 32 tokens, again and again, tokenizing included:
//! `cargo bench --bench latency -- MODEL_DIR TEXTS [WORKERS]`.
//!
//! Takes the first line of `TEXTS` that has so many tokens; prints the median in milliseconds as JSON.

use std::{error::Error, fs, path::Path, time::Instant};

use gristmill::{
    Device,
    text::{Embedder, TextTokenizer},
};

const TOKENS: usize = 32;
const TIMES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder, texts, rest @ ..] = &arguments[..] else {
        eprintln!("latency: left out; it takes MODEL_DIR TEXTS [WORKERS]");
        return Ok(());
    };
    let tokenizer = TextTokenizer::open(&Path::new(folder).join("tokenizer.json"), TOKENS + 1)?;
    let texts = fs::read_to_string(texts)?;
    let fits = |text: &&str| tokenizer.encode(text).is_ok_and(|encoded| encoded.ids.len() == TOKENS);
    let text = texts.lines().find(fits).ok_or("no text has 32 tokens")?;
    let mut bulk = Embedder::open(folder, Device::Cpu)?.bulk();
    if let Some(workers) = rest.first() {
        bulk = bulk.workers(workers.parse()?);
    }
    let mut seconds = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        let (vectors, _) = bulk.run(&[text]);
        seconds.push(start.elapsed().as_secs_f64());
        for vector in vectors {
            vector?;
        }
    }
    seconds.sort_by(f64::total_cmp);
    println!("{{\"median_ms\": {:.3}}}", seconds[TIMES / 2] * 1e3);
    Ok(())
}
