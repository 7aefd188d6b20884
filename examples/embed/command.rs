//! The command `embed`: a vector for each line of a text file.

pub mod npy;
#[cfg(feature = "files")]
pub mod tables;
pub mod vectors;

use std::path::{Path, PathBuf};

use gristmill::{
    Weights,
    text::{Embedded, Embedder, EmbedderOptions, Prompt, Quantizer, Ranges, VectorFormat},
};
use lexopt::{Parser, ValueExt};
use npy::{Npy, read_ranges};
use serde_json::json;
use vectors::{Vectors, format_of, is_float};

use super::common::{
    self, Common, Failure, Flag, Outcome,
    failure::{whole, writing},
    file_job::FileFlags,
    json_lines::JsonLines,
    lines::field,
    one_line,
    output::{self, OutputFile},
    plain_path, say,
    texts::TextFile,
};

const USAGE: &str = "\
usage: embed --model DIR TEXTS --out OUT.npy [FLAGS]
       embed --model DIR TEXTS... --out-dir DIR [FLAGS]

Writes one vector for each line of TEXTS (- is standard input), in order, f32 [lines, dimension]. A line that fails is
reported on stderr with its number; its vector is all NaN, or all zero in formats without NaN.

  --model DIR       a Hugging Face folder of a text encoder
  --out OUT.npy     where to write the vectors
  --field NAME      TEXTS are lines of JSON; the text is this field of each
  --column NAME     the same for a table, with --out-dir (text)
  --max-tokens N    truncate texts to N tokens (the model's own limit)
  --overlap N       read long texts in windows that have N tokens in common and take their mean, instead of truncating
  --prompt NAME     the prompt of the folder that stands before each text (its default prompt)
  --prompt-text TEXT  what stands before each text
  --truncate-dim N, --dimensions N  keep the first N numbers of each vector
  --normalize       divide each vector by its length
  --output FORMAT   f32, f16, int8, uint8, binary or ubinary (f32), as sentence-transformers quantizes vectors; int8 and
                    uint8 place numbers in the ranges of their columns, which a second pass over the vectors finds
  --ranges FILE.npy   the ranges for int8 and uint8: the smallest and the largest number of each column, f32 [2, dimension]
  --write-ranges FILE.npy  where to write the ranges that were found
  --facts FILE.jsonl  where to write the number of each line, its tokens, and whether it was truncated
  --mapped          use the weights in place in their file: the fastest start and the same vectors, but slower for
                    many texts; the file must not be written to meanwhile";

/// Failed lines that are reported one by one, at most.
const MOST_REPORTED: usize = 20;

/// What the flags say.
#[derive(Default)]
struct Arguments {
    model: Option<PathBuf>,
    texts: Option<PathBuf>,
    out: Option<PathBuf>,
    name: Option<String>,
    format: VectorFormat,
    ranges: Option<PathBuf>,
    write_ranges: Option<PathBuf>,
    facts: Option<PathBuf>,
    options: EmbedderOptions,
    files: FileFlags,
}

impl Arguments {
    fn take(&mut self, flag: Flag<'_>, parser: &mut lexopt::Parser) -> Result<bool, lexopt::Error> {
        let options = &mut self.options;
        match flag {
            Flag::Named("model") => self.model = Some(PathBuf::from(parser.value()?)),
            Flag::Named("out") => self.out = Some(PathBuf::from(parser.value()?)),
            Flag::Named("field" | "column") => self.name = Some(parser.value()?.string()?),
            Flag::Named("max-tokens") => options.max_tokens = Some(parser.value()?.parse()?),
            Flag::Named("overlap") => options.overlap = Some(parser.value()?.parse()?),
            Flag::Named("prompt") => options.prompt = Prompt::Named(parser.value()?.string()?),
            Flag::Named("prompt-text") => options.prompt = Prompt::Text(parser.value()?.string()?),
            Flag::Named("truncate-dim" | "dimensions") => options.folder.truncate_dim = Some(parser.value()?.parse()?),
            Flag::Named("normalize") => options.folder.normalize = Some(true),
            Flag::Named("output") => self.format = format_of(&parser.value()?.string()?)?,
            Flag::Named("ranges") => self.ranges = Some(PathBuf::from(parser.value()?)),
            Flag::Named("write-ranges") => self.write_ranges = Some(PathBuf::from(parser.value()?)),
            Flag::Named("facts") => self.facts = Some(PathBuf::from(parser.value()?)),
            Flag::Named("mapped") => options.folder.import.weights = Weights::Mapped,
            Flag::Value(value) if self.texts.is_none() => self.texts = Some(PathBuf::from(value)),
            Flag::Value(value) => self.files.more.push(PathBuf::from(value)),
            flag => return self.files.take(&flag, parser),
        }
        Ok(true)
    }

    /// Checks that the flags and the paths fit together.
    fn check(&self, common: &Common, [model, texts, out]: [&Path; 3]) -> Result<(), Failure> {
        if !self.format.needs_ranges() && (self.ranges.is_some() || self.write_ranges.is_some()) {
            return Err(Failure::usage("--ranges and --write-ranges are for --output int8 or uint8; see --help"));
        }
        if self.ranges.is_some() && self.write_ranges.is_some() {
            return Err(Failure::usage("--write-ranges writes ranges that are not given by --ranges; see --help"));
        }
        let model_files = output::model_files(model, &[]);
        let mut read: Vec<&Path> = model_files.iter().map(PathBuf::as_path).collect();
        read.push(texts);
        read.extend(self.ranges.as_deref());
        for written in [Some(out), self.write_ranges.as_deref(), self.facts.as_deref()].into_iter().flatten() {
            output::check(written, &read)?;
            read.push(written);
        }
        output::check_seekable(out)?;
        common.check_report(&read)
    }
}

/// Runs the command.
pub fn embed(command_line: Parser) -> Outcome {
    let mut arguments = Arguments::default();
    let usage = format!("{USAGE}\n{}", common::file_job::FLAGS);
    let common = Common::parse(command_line, &usage, |flag, parser| arguments.take(flag, parser))?;
    arguments.files.check()?;
    let missing = |what: &str| Failure::usage(format!("{what} is missing; see --help"));
    let model = arguments.model.clone().ok_or_else(|| missing("--model DIR"))?;
    let texts = arguments.texts.clone().ok_or_else(|| missing("TEXTS"))?;
    #[cfg(feature = "files")]
    if arguments.files.out.is_some() {
        return tables::embed(&arguments, &common, [&model, &texts]);
    }
    let out = arguments.out.clone().ok_or_else(|| missing("--out OUT.npy"))?;
    arguments.check(&common, [&model, &texts, &out])?;
    let Arguments { name, format, ranges, write_ranges, facts, options, .. } = arguments;
    let mut file = TextFile::open(&texts)?;
    let embedder = Embedder::open_with(&model, &options.session(common.options()))?;
    let width = embedder.dimension();
    let ranges: Option<Ranges> = ranges.map(|path| read_ranges(&path, width)).transpose()?;
    let text = move |line: gristmill::Result<String>| match &name {
        Some(name) => field(&line?, name),
        None => line,
    };
    // Until here a signal ends the process at once.
    let items = file.read(&texts, text, common.stop())?;
    let mut vectors = Vectors::begin(&out, format, width, ranges.as_ref())?;
    let mut facts = facts.as_deref().map(|path| JsonLines::open(Some(path))).transpose()?;
    let mut results = common.bulk(embedder.detailed()).map_results(items);
    let (mut failed, mut refused, mut line) = (0, 0, 0usize);
    for result in results.by_ref() {
        line += 1;
        let (said, fact) = match result {
            Ok(Embedded { vector, tokens, truncated, .. }) => {
                let said = vectors.row(Some(&vector))?;
                refused += usize::from(said.is_some());
                (said, json!({"line": line, "tokens": tokens, "truncated": truncated}))
            }
            Err(error) => {
                vectors.row(None)?;
                let cause = whole(&error.source);
                (Some(format!("{}: {cause}", error.stage)), json!({"line": line, "error": cause}))
            }
        };
        if let Some(said) = said {
            failed += 1;
            if failed <= MOST_REPORTED {
                say!("line {line}: {}", one_line(&said));
            }
        }
        facts.as_mut().map_or(Ok(()), |facts| facts.write(&fact))?;
    }
    Common::check_started(&results.report())?;
    file.check(&texts, results.report().items)?;
    let (rows, file, found) = vectors.finish()?;
    // What was there before is worth more than no vectors.
    if rows > 0 || !common.stop().is_asked() {
        file.finish()?;
        facts.map_or(Ok(()), JsonLines::close)?;
        if let (Some(path), Some(ranges)) = (&write_ranges, &found) {
            write_found(path, ranges)?;
        }
    }
    say!("{}: {rows} vectors of {width}", plain_path(&out));
    if failed > 0 {
        say!("{failed} lines failed: their vectors are all {}", if is_float(format) { "NaN" } else { "zero" });
    }
    let code = common.end(&results.report())?;
    Ok(if refused > 0 { common.code(true) } else { code })
}

/// Writes ranges as [`read_ranges`] reads them.
fn write_found(path: &Path, ranges: &Ranges) -> Result<(), Failure> {
    let fail = |error: std::io::Error| writing(path, &error);
    let plain = Quantizer::new(VectorFormat::F32, None)?;
    let mut npy = Npy::begin(OutputFile::create(path, &[])?, VectorFormat::F32, ranges.least().len()).map_err(fail)?;
    for row in [ranges.least(), ranges.most()] {
        let mut bytes = Vec::new();
        plain.append(row, &mut bytes)?;
        npy.row(&bytes).map_err(fail)?;
    }
    npy.finish().map_err(fail)?.1.finish()
}
