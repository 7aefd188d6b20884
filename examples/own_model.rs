//! A model written in Rust, run in bulk: guesses the language of each line by its most frequent short words.
//!
//! ```sh
//! cargo run --release --example own_model -- TEXTS.txt      # or without a file, on a few lines of its own
//! ```
//!
//! Anything that turns inputs into outputs is a model: implement [`Inference`], whose one required method is `infer`.
//! Order, chunk sizes, threads, errors and the report then come from [`Bulk`].

use std::{
    env,
    error::Error as StdError,
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Write},
};

use gristmill::{Error, Inference, Result, Slots, bulk::Bulk};

const SAMPLE: &str = "\
The river is wide and the bridge is old.
Der Weg ist lang und die Nacht ist kurz.

Le chat est sur la table et le chien est dans la rue.";

const LANGUAGES: [(&str, &[&str]); 3] = [
    ("English", &["the", "and", "is", "of", "to", "in", "that", "it"]),
    ("German", &["der", "die", "das", "und", "ist", "nicht", "ein", "zu"]),
    ("French", &["le", "la", "les", "et", "est", "dans", "un", "que"]),
];

/// What a large model would hold here are its weights: one value serves all workers, through `&self`.
struct LanguageGuess {
    languages: &'static [(&'static str, &'static [&'static str])],
}

impl Inference for LanguageGuess {
    type Input = str;
    /// The language and the share of the words that spoke for it.
    type Output = (&'static str, f32);

    /// One call runs one chunk. A real model would run all its items at once here, as one batch.
    fn infer(&self, chunk: &[&str], out: &mut Slots<'_, Self::Output>) -> Result<()> {
        for (index, text) in chunk.iter().enumerate() {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            let known = |list: &[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
            let best = self.languages.iter().map(|(name, list)| (known(list), *name)).max_by_key(|(count, _)| *count);
            match best {
                Some((count, name)) if count > 0 => out.set(index, (name, count as f32 / words.len() as f32)),
                // The error of one item; its neighbours in the chunk keep their results. Returning `Err` instead would
                // fail the whole chunk, which is then run again in halves to find the item at fault.
                _ => out.fail(index, Error::invalid_input("no word of a known language")),
            }
        }
        Ok(())
    }

    /// The work that one input causes, in any unit. Chunks are cut by it, so that long texts do not meet in one chunk.
    fn cost(&self, text: &str) -> u64 {
        text.len() as u64
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let source: Box<dyn BufRead> = match env::args_os().nth(1) {
        Some(path) => Box::new(BufReader::new(File::open(path)?)),
        None => Box::new(Cursor::new(SAMPLE)),
    };
    // The source is read as far ahead as keeps the workers busy; a line that is not UTF-8 is an error of that item.
    let mut results = Bulk::new(LanguageGuess { languages: &LANGUAGES }).map_results(source.lines());
    let mut out = io::stdout().lock();
    for result in results.by_ref() {
        match result {
            Ok((language, share)) => writeln!(out, "{language} ({:.0} %)", share * 100.0)?,
            Err(error) => writeln!(out, "line {} failed in {}: {}", error.index + 1, error.stage, error.source)?,
        }
    }
    // Where nobody can read it any more, all is done all the same.
    let _ = writeln!(io::stderr(), "{}", results.report());
    Ok(())
}
