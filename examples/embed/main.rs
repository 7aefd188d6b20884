//! Computes one vector for each line of a text file, in bulk.
//!
//! ```sh
//! cargo run --release --example embed -- --model all-MiniLM-L6-v2 texts.txt --out vectors.npy
//! ```

#[path = "../common/mod.rs"]
mod common;
mod lines;
mod npy;

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
};

use common::{Common, Flag, Outcome, cut_off};
use gristmill::{
    Weights,
    text::{Embedder, EmbedderOptions},
};
use lexopt::ValueExt;

use lines::{Lines, field};
use npy::Npy;

const USAGE: &str = "\
usage: embed --model DIR TEXTS --out OUT.npy [FLAGS]

Writes one vector for each line of TEXTS (- is standard input), in order, f32 [lines, dimension]. A line that fails is
reported on stderr with its number; its vector is all NaN.

  --model DIR       a Hugging Face folder of a text encoder
  --out OUT.npy     where to write the vectors
  --field NAME      TEXTS are lines of JSON; the text is this field of each
  --max-tokens N    truncate texts to N tokens (the model's own limit)
  --mapped          use the weights in place in their file: the fastest start and the same vectors, but slower for
                    many texts; the file must not be written to meanwhile";

/// Failed lines that are reported one by one, at most.
const MOST_REPORTED: usize = 20;

fn main() -> Outcome {
    let (mut model, mut texts, mut out, mut name, mut max_tokens) = (None, None, None, None, None);
    let mut weights = Weights::default();
    let common = Common::parse(USAGE, |flag, parser| {
        match flag {
            Flag::Named("model") => model = Some(PathBuf::from(parser.value()?)),
            Flag::Named("out") => out = Some(PathBuf::from(parser.value()?)),
            Flag::Named("field") => name = Some(parser.value()?.string()?),
            Flag::Named("max-tokens") => max_tokens = Some(parser.value()?.parse::<usize>()?),
            Flag::Named("mapped") => weights = Weights::Mapped,
            Flag::Value(value) if texts.is_none() => texts = Some(PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let model = model.ok_or("--model DIR is missing; see --help")?;
    let texts = texts.ok_or("TEXTS is missing; see --help")?;
    let out = out.ok_or("--out OUT.npy is missing; see --help")?;
    let source: Box<dyn BufRead> = if texts.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&texts).map_err(|error| format!("opening {}: {error}", texts.display()))?;
        Box::new(BufReader::with_capacity(1 << 18, file))
    };
    let mut options = EmbedderOptions::default().session(common.options()).weights(weights);
    if let Some(tokens) = max_tokens {
        options = options.max_tokens(tokens);
    }
    let embedder = Embedder::open_with(&model, &options)?;
    let writing = |error: io::Error| format!("writing {}: {error}", out.display());
    let mut npy = Npy::create(&out, embedder.dimension()).map_err(writing)?;
    let failed_row = vec![f32::NAN; embedder.dimension()];
    let items = Lines::new(source).map(|line| match (&name, line) {
        (Some(name), Ok(line)) => field(&line, name),
        (_, line) => line,
    });
    let mut results = common.bulk(embedder.bulk()).map_results(items);
    let mut failed = 0;
    for result in results.by_ref() {
        if cut_off(&result) {
            break;
        }
        match result {
            Ok(vector) => npy.row(&vector).map_err(writing)?,
            Err(error) => {
                failed += 1;
                if failed <= MOST_REPORTED {
                    eprintln!("line {}: {}: {}", error.index + 1, error.stage, error.source);
                }
                npy.row(&failed_row).map_err(writing)?;
            }
        }
    }
    let rows = npy.finish().map_err(writing)?;
    eprintln!("{}: {rows} vectors of {}", out.display(), embedder.dimension());
    if failed > 0 {
        eprintln!("{failed} lines failed: their vectors are all NaN");
    }
    common.end(&results.report())
}
