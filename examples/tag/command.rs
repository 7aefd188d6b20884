//! The command `tag`: the entities of each line of a text file.

#[cfg(feature = "files")]
use gristmill::files::ColumnType;
use gristmill::text::{Entity, Tagged, Tagger, TaggerOptions};
use lexopt::{Parser, ValueExt};
use serde_json::{Value, json};

use super::{
    common::{self, Common, Flag, Outcome, texts::TextFile},
    text_job::{self, Table, TextJob},
};

const USAGE: &str = "\
usage: tag --model DIR TEXTS [FLAGS]
       tag --model DIR TEXTS... --out-dir DIR [FLAGS]

Writes a line of JSON for each line of TEXTS (- is standard input), in order: its number and entities, the tokens that the
model saw, and whether the text was truncated; or its number and error. An entity has a label, a score, a word, and its
place in the text: start and end in characters, start_byte and end_byte in bytes.

  --field NAME      TEXTS are lines of JSON; the text is this field of each
  --column NAME     the same for a table, with --out-dir (text)
  --aggregation KIND  how classes of tokens become entities: none, simple, first, average or max (simple)
  --overlap N       read long texts in windows that have N tokens in common, instead of truncating them
  --ignore LABEL    leaves out entities of this label; may be given several times (O)
";

/// The columns of a job over files.
#[cfg(feature = "files")]
pub const COLUMNS: [(&str, ColumnType); 3] =
    [("entities", ColumnType::Json), ("tokens", ColumnType::Integer), ("truncated", ColumnType::Bool)];

/// The entities of a text as JSON.
pub fn row(tagged: Tagged) -> Value {
    let entities: Vec<Value> = tagged.entities.into_iter().map(entity).collect();
    json!({"entities": entities, "tokens": tagged.tokens, "truncated": tagged.truncated})
}

/// Runs the command.
pub fn tag(command_line: Parser) -> Outcome {
    let (mut job, mut name) = (TextJob::default(), None);
    let (mut options, mut ignored) = (TaggerOptions::default(), Vec::new());
    let usage = format!("{USAGE}{}\n{}", text_job::FLAGS, common::file_job::FLAGS);
    let common = Common::parse(command_line, &usage, |flag, parser| {
        match flag {
            Flag::Named("field" | "column") => name = Some(parser.value()?.string()?),
            Flag::Named("overlap") => options.overlap = Some(parser.value()?.parse()?),
            Flag::Named("ignore") => ignored.push(parser.value()?.string()?),
            Flag::Named("aggregation") => options.aggregation = parser.value()?.parse()?,
            flag => return job.take(&flag, parser),
        }
        Ok(true)
    })?;
    let (model, texts) = job.checked(&common, "TEXTS")?;
    let file = job.files.out.is_none().then(|| TextFile::open(texts)).transpose()?;
    let mut options = options.session(common.options()).weights(job.weights);
    options.max_tokens = job.max_tokens;
    if !ignored.is_empty() {
        options.ignored = ignored;
    }
    let tagger = Tagger::open_with(model, &options)?;
    let table = Table {
        #[cfg(feature = "files")]
        description: tagger.describe(),
        #[cfg(feature = "files")]
        columns: &COLUMNS,
    };
    job.run_texts(&common, tagger.bulk(), file, name, table, row)
}

fn entity(entity: Entity) -> Value {
    json!({
        "label": &*entity.label,
        "score": entity.score,
        "word": entity.word,
        "start": entity.characters.start,
        "end": entity.characters.end,
        "start_byte": entity.bytes.start,
        "end_byte": entity.bytes.end,
    })
}
