//! The command `classify`: a class for each line of a text file.

use std::sync::Arc;

#[cfg(feature = "files")]
use gristmill::files::ColumnType;
use gristmill::text::{Classified, Classifier, ClassifierOptions, PairClassifier};
use lexopt::{Parser, ValueExt};
use serde_json::{Map, Value, json};

use super::{
    common::{self, Common, Flag, Outcome, texts::TextFile},
    text_job::{self, Table, TextJob},
};

const USAGE: &str = "\
usage: classify --model DIR TEXTS [FLAGS]
       classify --model DIR TEXTS... --out-dir DIR [FLAGS]

Writes a line of JSON for each line of TEXTS (- is standard input), in order: its number, label, score and scores, the
tokens that the model saw, and whether the text was truncated; or its number and error.

  --field NAME      TEXTS are lines of JSON; the text is this field of each
  --column NAME     the same for a table, with --out-dir (text)
  --pairs           the model takes pairs: TEXTS are lines of a text, a tab and a text, or of JSON if a field is given or
                    their name ends with .jsonl
  --second NAME     the field or column of the second text of each pair (text_pair)
  --scores KIND     how scores are made: raw, sigmoid or softmax (as the folder says)
  --overlap N       read long texts in windows that have N tokens in common and take the mean of their scores, instead of
                    truncating them
";

/// The columns of a job over files.
#[cfg(feature = "files")]
pub const COLUMNS: [(&str, ColumnType); 5] = [
    ("label", ColumnType::Text),
    ("score", ColumnType::Float),
    ("scores", ColumnType::Json),
    ("tokens", ColumnType::Integer),
    ("truncated", ColumnType::Bool),
];

/// The class of a text as JSON.
pub fn row(labels: &[Arc<str>], class: Classified) -> Value {
    let scores = labels.iter().map(|label| label.to_string()).zip(class.scores);
    let scores: Map<_, _> = scores.map(|(label, score)| (label, json!(score))).collect();
    let (label, score) = (&*class.label, class.score);
    json!({"label": label, "score": score, "scores": scores, "tokens": class.tokens, "truncated": class.truncated})
}

/// Runs the command.
pub fn classify(command_line: Parser) -> Outcome {
    let (mut job, mut name, mut second, mut pairs) = (TextJob::default(), None, None, false);
    let mut options = ClassifierOptions::default();
    let usage = format!("{USAGE}{}\n{}", text_job::FLAGS, common::file_job::FLAGS);
    let common = Common::parse(command_line, &usage, |flag, parser| {
        match flag {
            Flag::Named("field" | "column") => name = Some(parser.value()?.string()?),
            Flag::Named("pairs") => pairs = true,
            Flag::Named("second") => second = Some(parser.value()?.string()?),
            Flag::Named("overlap") => options.overlap = Some(parser.value()?.parse()?),
            Flag::Named("scores") => options.scores = Some(parser.value()?.parse()?),
            flag => return job.take(&flag, parser),
        }
        Ok(true)
    })?;
    let (model, texts) = job.checked(&common, "TEXTS")?;
    let file = job.files.out.is_none().then(|| TextFile::open(texts)).transpose()?;
    let mut options = options.session(common.options()).weights(job.weights);
    options.max_tokens = job.max_tokens;
    if pairs || second.is_some() {
        let classifier = PairClassifier::open_with(model, &options)?;
        let labels = classifier.labels().to_vec();
        let table = Table {
            #[cfg(feature = "files")]
            description: classifier.describe(),
            #[cfg(feature = "files")]
            columns: &COLUMNS,
        };
        let names = [("column", name, "text"), ("second", second, "text_pair")];
        return job.run_pairs(&common, classifier.bulk(), file, names, table, move |class| row(&labels, class));
    }
    let classifier = Classifier::open_with(model, &options)?;
    let labels = classifier.labels().to_vec();
    let table = Table {
        #[cfg(feature = "files")]
        description: classifier.describe(),
        #[cfg(feature = "files")]
        columns: &COLUMNS,
    };
    job.run_texts(&common, classifier.bulk(), file, name, table, move |class| row(&labels, class))
}
