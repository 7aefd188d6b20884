//! The command `rerank`: a score for each pair of a query and a document.

#[cfg(feature = "files")]
use gristmill::files::ColumnType;
use gristmill::text::{ClassifierOptions, Prompt, Reranked, Reranker};
use lexopt::{Parser, ValueExt};
use serde_json::{Value, json};

use super::{
    common::{self, Common, Flag, Outcome, texts::TextFile},
    text_job::{self, Table, TextJob},
};

const USAGE: &str = "\
usage: rerank --model DIR PAIRS [FLAGS]
       rerank --model DIR PAIRS... --out-dir DIR [FLAGS]

Writes a line of JSON for each line of PAIRS (- is standard input), in order: its number and score, the tokens that the
model saw, and whether the pair was truncated; or its number and error. A line is a query, a tab and a document; or, where
--query or --document is given or the name of PAIRS ends with .jsonl, JSON with two fields. With --out-dir the inputs are
tables with two columns.

  --query NAME      the field of the query (query)
  --document NAME   the field of the document (document)
  --scores KIND     how scores are made: raw or sigmoid (as the folder says)
  --prompt NAME     the prompt of the folder that stands before each query (its default prompt)
";

/// The columns of a job over files.
#[cfg(feature = "files")]
pub const COLUMNS: [(&str, ColumnType); 3] =
    [("score", ColumnType::Float), ("tokens", ColumnType::Integer), ("truncated", ColumnType::Bool)];

/// The score of a pair as JSON.
pub fn row(pair: Reranked) -> Value {
    json!({"score": pair.score, "tokens": pair.tokens, "truncated": pair.truncated})
}

/// Runs the command.
pub fn rerank(command_line: Parser) -> Outcome {
    let (mut job, mut query, mut document) = (TextJob::default(), None, None);
    let mut options = ClassifierOptions::default();
    let usage = format!("{USAGE}{}\n{}", text_job::FLAGS, common::file_job::FLAGS);
    let common = Common::parse(command_line, &usage, |flag, parser| {
        match flag {
            Flag::Named("query") => query = Some(parser.value()?.string()?),
            Flag::Named("document") => document = Some(parser.value()?.string()?),
            Flag::Named("prompt") => options.prompt = Prompt::Named(parser.value()?.string()?),
            Flag::Named("scores") => options.scores = Some(parser.value()?.parse()?),
            flag => return job.take(&flag, parser),
        }
        Ok(true)
    })?;
    let (model, pairs) = job.checked(&common, "PAIRS")?;
    let file = job.files.out.is_none().then(|| TextFile::open(pairs)).transpose()?;
    let mut options = options.session(common.options()).weights(job.weights);
    options.max_tokens = job.max_tokens;
    let reranker = Reranker::open_with(model, &options)?;
    let table = Table {
        #[cfg(feature = "files")]
        description: reranker.describe(),
        #[cfg(feature = "files")]
        columns: &COLUMNS,
    };
    let names = [("query", query, "query"), ("document", document, "document")];
    job.run_pairs(&common, reranker.detailed(), file, names, table, row)
}
