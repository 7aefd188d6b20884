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
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use common::{
    Common, Failure, Flag, Outcome,
    failure::whole,
    one_line,
    output::{self, OutputFile},
    plain_path, say,
    stop::Stop,
};
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

fn main() -> ExitCode {
    common::main(embed)
}

fn embed() -> Outcome {
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
    let model = model.ok_or_else(|| Failure::usage("--model DIR is missing; see --help"))?;
    let texts = texts.ok_or_else(|| Failure::usage("TEXTS is missing; see --help"))?;
    let out = out.ok_or_else(|| Failure::usage("--out OUT.npy is missing; see --help"))?;
    let model_files = output::model_files(&model, &[]);
    let mut read: Vec<&Path> = model_files.iter().map(PathBuf::as_path).collect();
    read.push(&texts);
    output::check(&out, &read)?;
    output::check_seekable(&out)?;
    read.push(&out);
    common.check_report(&read)?;
    let file = file(&texts)?;
    let mut options = EmbedderOptions::default().session(common.options()).weights(weights);
    if let Some(tokens) = max_tokens {
        options = options.max_tokens(tokens);
    }
    let embedder = Embedder::open_with(&model, &options)?;
    // Until here a signal ends the process at once.
    let (items, failure) = read_texts(&texts, file, name, common.stop())?;
    let writing = |error: io::Error| common::failure::writing(&out, &error);
    let mut npy = Npy::begin(OutputFile::create(&out, &[])?, embedder.dimension()).map_err(writing)?;
    let failed_row = vec![f32::NAN; embedder.dimension()];
    let mut results = common.bulk(embedder.bulk()).map_results(items);
    let mut failed = 0;
    for result in results.by_ref() {
        match result {
            Ok(vector) => npy.row(&vector).map_err(writing)?,
            Err(error) => {
                failed += 1;
                if failed <= MOST_REPORTED {
                    say!("line {}: {}: {}", error.index + 1, error.stage, one_line(&whole(&error.source)));
                }
                npy.row(&failed_row).map_err(writing)?;
            }
        }
    }
    Common::check_started(&results.report())?;
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let (texts, read) = (plain_path(&texts), results.report().items);
        return Err(Failure::new(format!("reading {texts} after line {read}: {error}; nothing is written")));
    }
    let (rows, file) = npy.finish().map_err(writing)?;
    // What was there before is worth more than no vectors.
    if rows > 0 || !common.stop().is_asked() {
        file.finish()?;
    }
    say!("{}: {rows} vectors of {}", plain_path(&out), embedder.dimension());
    if failed > 0 {
        say!("{failed} lines failed: their vectors are all NaN");
    }
    common.end(&results.report())
}

/// The texts, or why one is none, and where an error of the stream is kept.
type Texts = (Box<dyn Iterator<Item = gristmill::Result<String>>>, Arc<Mutex<Option<io::Error>>>);

/// The file of the texts, if it is one; a stream that may wait is opened when it is read.
fn file(texts: &Path) -> Result<Option<File>, Failure> {
    if texts.as_os_str() == "-" {
        return Ok(None);
    }
    let fail = |error: io::Error| Failure::new(format!("opening {}: {error}", plain_path(texts)));
    let found = std::fs::metadata(texts).map_err(fail)?;
    if found.is_dir() {
        return Err(Failure::new(format!("{} is a folder; TEXTS is a file of lines", plain_path(texts))));
    }
    found.is_file().then(|| File::open(texts).map_err(fail)).transpose()
}

/// The texts, read as they are needed; a thread of its own reads a stream that may wait.
fn read_texts(texts: &Path, file: Option<File>, name: Option<String>, stop: &Stop) -> Result<Texts, Failure> {
    let text = move |line: gristmill::Result<String>| match (&name, line) {
        (Some(name), Ok(line)) => field(&line, name),
        (_, line) => line,
    };
    let failure = Arc::<Mutex<Option<io::Error>>>::default();
    let kept = failure.clone();
    if let Some(file) = file {
        let lines = Lines::new(BufReader::with_capacity(1 << 18, file), kept);
        return Ok((Box::new(stop.until(lines.map(text))), failure));
    }
    let path = texts.to_owned();
    let lines = stop.until_waiting(move || {
        let source: Box<dyn BufRead> = match path.as_os_str() == "-" {
            true => Box::new(BufReader::new(io::stdin())),
            false => match File::open(&path) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(error) => {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Box::new(io::empty())
                }
            },
        };
        Lines::new(source, kept)
    });
    let lines = lines.map_err(|error| format!("starting a thread that reads: {error}"))?;
    Ok((Box::new(lines.map(text)), failure))
}
