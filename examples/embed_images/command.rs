//! The command `embed_images`: a vector for each image of a list.

use std::path::{Path, PathBuf};

use gristmill::{
    Weights,
    text::{Ranges, VectorFormat},
    vision::{Image, ImageEmbedder, ImageOptions},
};
use lexopt::{Parser, ValueExt};

use super::{
    common::{Common, Failure, Flag, Outcome, failure::whole, one_line, output, plain_path, say, texts::TextFile},
    npy::read_ranges,
    vectors::{Vectors, format_of, is_float},
};

const USAGE: &str = "\
usage: embed_images --model DIR PATHS --out OUT.npy [FLAGS]

Writes one vector for each line of PATHS (- is standard input), which names an image file, in order, f32 [lines, dimension].
An image that fails is reported on stderr with its line; its vector is all NaN, or all zero in formats without NaN.

  --model DIR       a Hugging Face folder of an image encoder
  --out OUT.npy     where to write the vectors
  --normalize       divide each vector by its length
  --max-pixels N    refuse images of more pixels (89,478,485)
  --output FORMAT   f32, f16, int8, uint8, binary or ubinary (f32), as sentence-transformers quantizes vectors; int8 and
                    uint8 place numbers in the ranges of their columns, which a second pass over the vectors finds
  --ranges FILE.npy   the ranges for int8 and uint8: the smallest and the largest number of each column, f32 [2, dimension]
  --mapped          use the weights in place in their file; the file must not be written to meanwhile";

/// Failed images that are reported one by one, at most.
const MOST_REPORTED: usize = 20;

/// What the flags say.
#[derive(Default)]
struct Arguments {
    model: Option<PathBuf>,
    paths: Option<PathBuf>,
    out: Option<PathBuf>,
    format: VectorFormat,
    ranges: Option<PathBuf>,
    options: ImageOptions,
}

impl Arguments {
    fn take(&mut self, flag: Flag<'_>, parser: &mut Parser) -> Result<bool, lexopt::Error> {
        match flag {
            Flag::Named("model") => self.model = Some(PathBuf::from(parser.value()?)),
            Flag::Named("out") => self.out = Some(PathBuf::from(parser.value()?)),
            Flag::Named("normalize") => self.options.normalize = Some(true),
            Flag::Named("max-pixels") => self.options.max_pixels = parser.value()?.parse()?,
            Flag::Named("output") => self.format = format_of(&parser.value()?.string()?)?,
            Flag::Named("ranges") => self.ranges = Some(PathBuf::from(parser.value()?)),
            Flag::Named("mapped") => self.options.import.weights = Weights::Mapped,
            Flag::Value(value) if self.paths.is_none() => self.paths = Some(PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Runs the command.
pub fn embed(command_line: Parser) -> Outcome {
    let mut arguments = Arguments::default();
    let common = Common::parse(command_line, USAGE, |flag, parser| arguments.take(flag, parser))?;
    let missing = |what: &str| Failure::usage(format!("{what} is missing; see --help"));
    let Arguments { model, paths, out, format, ranges, options } = arguments;
    let model = model.ok_or_else(|| missing("--model DIR"))?;
    let paths = paths.ok_or_else(|| missing("PATHS"))?;
    let out = out.ok_or_else(|| missing("--out OUT.npy"))?;
    if ranges.is_some() && !format.needs_ranges() {
        return Err(Failure::usage("--ranges is for --output int8 or uint8; see --help"));
    }
    let model_files = output::model_files(&model, &[]);
    let mut read: Vec<&Path> = model_files.iter().map(PathBuf::as_path).collect();
    read.push(&paths);
    read.extend(ranges.as_deref());
    output::check(&out, &read)?;
    read.push(&out);
    output::check_seekable(&out)?;
    common.check_report(&read)?;
    let mut file = TextFile::open(&paths)?;
    let embedder = ImageEmbedder::open_with(&model, &options.session(common.options()))?;
    let width = embedder.dimension();
    let ranges: Option<Ranges> = ranges.map(|path| read_ranges(&path, width)).transpose()?;
    // Until here a signal ends the process at once.
    let items = file.read(&paths, |line: gristmill::Result<String>| line.map(Image::path), common.stop())?;
    let mut vectors = Vectors::begin(&out, format, width, ranges.as_ref())?;
    let mut results = common.bulk(embedder.bulk()).map_results(items);
    let (mut failed, mut refused, mut line) = (0, 0, 0usize);
    for result in results.by_ref() {
        line += 1;
        let said = match result {
            Ok(vector) => {
                let said = vectors.row(Some(&vector))?;
                refused += usize::from(said.is_some());
                said
            }
            Err(error) => {
                vectors.row(None)?;
                Some(format!("{}: {}", error.stage, whole(&error.source)))
            }
        };
        if let Some(said) = said {
            failed += 1;
            if failed <= MOST_REPORTED {
                say!("line {line}: {}", one_line(&said));
            }
        }
    }
    Common::check_started(&results.report())?;
    file.check(&paths, results.report().items)?;
    let (rows, file, _) = vectors.finish()?;
    // What was there before is worth more than no vectors.
    if rows > 0 || !common.stop().is_asked() {
        file.finish()?;
    }
    say!("{}: {rows} vectors of {width}", plain_path(&out));
    if failed > 0 {
        say!("{failed} images failed: their vectors are all {}", if is_float(format) { "NaN" } else { "zero" });
    }
    let code = common.end(&results.report())?;
    Ok(if refused > 0 { common.code(true) } else { code })
}
