//! A job of a text model over lines, whose results are lines of JSON.

#![allow(dead_code, reason = "each command uses a part")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(feature = "files")]
use gristmill::{
    Description,
    files::{Column, ColumnType, Row},
};
use gristmill::{
    Error, ItemError, Weights,
    bulk::{Bulk, Staged, Stages},
};
use lexopt::{Parser, ValueExt as _};
use serde_json::Value;

#[cfg(feature = "files")]
use super::common::file_job::cells;

use super::common::{
    Common, Failure, Flag, Outcome, failure::whole, file_job::FileFlags, json_lines::JsonLines, lines::field, one_line,
    output, say, texts::TextFile,
};

/// Failed lines that are reported one by one, at most.
const MOST_REPORTED: usize = 20;

/// Two texts.
type Pair = (Arc<str>, Arc<str>);

/// The flags that all text models take.
pub const FLAGS: &str = "  --model DIR       a Hugging Face folder
  --out OUT.jsonl   where to write the lines (standard output)
  --max-tokens N    truncate texts to N tokens (the model's own limit)
  --mapped          use the weights in place in their file: the fastest start and the same results, but slower for many
                    texts; the file must not be written to meanwhile";

/// What the flags say.
#[derive(Default)]
pub struct TextJob {
    pub model: Option<PathBuf>,
    pub texts: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub max_tokens: Option<usize>,
    pub weights: Weights,
    pub files: FileFlags,
}

/// What a job over files is, beside its model.
pub struct Table {
    #[cfg(feature = "files")]
    pub description: Description,
    /// The columns that are written.
    #[cfg(feature = "files")]
    pub columns: &'static [(&'static str, ColumnType)],
}

impl TextJob {
    /// Takes a flag that all text models take; false for another one.
    pub fn take(&mut self, flag: &Flag<'_>, parser: &mut Parser) -> Result<bool, lexopt::Error> {
        match flag {
            Flag::Named("model") => self.model = Some(PathBuf::from(parser.value()?)),
            Flag::Named("out") => self.out = Some(PathBuf::from(parser.value()?)),
            Flag::Named("max-tokens") => self.max_tokens = Some(parser.value()?.parse()?),
            Flag::Named("mapped") => self.weights = Weights::Mapped,
            Flag::Value(value) if self.texts.is_none() => self.texts = Some(PathBuf::from(value)),
            Flag::Value(value) => self.files.more.push(PathBuf::from(value)),
            flag => return self.files.take(flag, parser),
        }
        Ok(true)
    }

    /// The folder of the model and the file of the texts, after all paths were checked.
    pub fn checked(&self, common: &Common, what: &str) -> Result<(&Path, &Path), Failure> {
        let model = self.model.as_deref().ok_or_else(|| Failure::usage("--model DIR is missing; see --help"))?;
        let texts = self.texts.as_deref().ok_or_else(|| Failure::usage(format!("{what} is missing; see --help")))?;
        self.files.check()?;
        if self.files.out.is_some() {
            return match self.out {
                Some(_) => Err(Failure::usage("--out and --out-dir are for different jobs; see --help")),
                None => Ok((model, texts)),
            };
        }
        let out = self.out.as_deref().filter(|path| path.as_os_str() != "-");
        let model_files = output::model_files(model, &[]);
        let mut read: Vec<&Path> = model_files.iter().map(PathBuf::as_path).collect();
        read.push(texts);
        if let Some(out) = out {
            output::check(out, &read)?;
            read.push(out);
        }
        common.check_report(&read)?;
        Ok((model, texts))
    }

    /// Runs a model of texts over the lines of `file`, or over the column or field `name` of them; without `file` as a job
    /// over files.
    pub fn run_texts<S, R>(
        &self,
        common: &Common,
        bulk: Bulk<S>,
        file: Option<TextFile>,
        name: Option<String>,
        table: Table,
        row: impl Fn(R) -> Value,
    ) -> Outcome
    where
        S: Staged<Output = R> + Stages<String> + 'static,
    {
        let Some(file) = file else {
            #[cfg(feature = "files")]
            return {
                let name = name.as_deref().unwrap_or("text");
                self.run_files(common, bulk, table, &[("column", name)], |row| row.text(name), row)
            };
            #[cfg(not(feature = "files"))]
            let Table {} = table;
            #[cfg(not(feature = "files"))]
            unreachable!("refused before");
        };
        let text = move |line: gristmill::Result<String>| match &name {
            Some(name) => field(&line?, name),
            None => line,
        };
        self.run(common, bulk, file, text, row)
    }

    /// Runs a model of pairs over the lines of `file`: a text, a tab and a text, or the fields of JSON that `names` are;
    /// without `file` as a job over files, which reads the columns of those names.
    ///
    /// Of each name there is what it is called in the job, what the flags say, and what it is by default.
    pub fn run_pairs<S, R>(
        &self,
        common: &Common,
        bulk: Bulk<S>,
        file: Option<TextFile>,
        names: [(&'static str, Option<String>, &str); 2],
        table: Table,
        row: impl Fn(R) -> Value,
    ) -> Outcome
    where
        S: Staged<Output = R> + Stages<Pair> + 'static,
    {
        let of_json = self.texts.as_ref().is_some_and(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
        let is_json = of_json || names.iter().any(|(_, given, _)| given.is_some());
        let [first, second] =
            names.map(|(option, given, default)| (option, given.unwrap_or_else(|| default.to_owned())));
        let Some(file) = file else {
            #[cfg(feature = "files")]
            return {
                let read = |row: &Row<'_>| -> gristmill::Result<Pair> {
                    Ok((row.text(&first.1)?.into(), row.text(&second.1)?.into()))
                };
                self.run_files(common, bulk, table, &[(first.0, &first.1), (second.0, &second.1)], read, row)
            };
            #[cfg(not(feature = "files"))]
            let Table {} = table;
            #[cfg(not(feature = "files"))]
            unreachable!("refused before");
        };
        let pair = move |line: gristmill::Result<String>| {
            let line = line?;
            if is_json {
                return Ok((field(&line, &first.1)?.into(), field(&line, &second.1)?.into()));
            }
            let missing = || Error::invalid_input(format!("no tab between {} and {}", first.0, second.0));
            let (one, other) = line.split_once('\t').ok_or_else(missing)?;
            Ok((one.into(), other.into()))
        };
        self.run(common, bulk, file, pair, row)
    }

    /// Runs a model as a job over files: what `read` makes of each row, and the columns of what `row` makes of each result.
    ///
    /// `options` say which columns are read.
    #[cfg(feature = "files")]
    pub fn run_files<S, T, R>(
        &self,
        common: &Common,
        bulk: Bulk<S>,
        table: Table,
        options: &[(&str, &str)],
        read: impl Fn(&Row<'_>) -> gristmill::Result<T>,
        row: impl Fn(R) -> Value,
    ) -> Outcome
    where
        S: Staged<Output = R> + Stages<T> + 'static,
        T: Send + 'static,
    {
        let (model, texts) = (self.model.clone().unwrap_or_default(), self.texts.clone().unwrap_or_default());
        let written = table.columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect();
        let job = self.files.job(common, [&model, &texts], &table.description, written)?;
        let job = options.iter().fold(job, |job, (name, value)| job.option(*name, *value));
        self.files.run(common, job, bulk, read, |result| Ok(cells(table.columns, &row(result))))
    }

    /// Runs a model over what `item` makes of each line, and writes what `row` makes of each result.
    pub fn run<S, T, R>(
        &self,
        common: &Common,
        bulk: Bulk<S>,
        mut file: TextFile,
        item: impl Fn(gristmill::Result<String>) -> gristmill::Result<T> + Send + 'static,
        row: impl Fn(R) -> Value,
    ) -> Outcome
    where
        S: Staged<Output = R> + Stages<T> + 'static,
        T: Send + 'static,
    {
        let texts = self.texts.clone().unwrap_or_default();
        let items = file.read(&texts, item, common.stop())?;
        let mut out = JsonLines::open(self.out.as_deref())?;
        let mut results = common.bulk(bulk).map_results(items);
        let (mut failed, mut line) = (0, 0usize);
        for result in results.by_ref() {
            let mut value = match result {
                Ok(result) => row(result),
                Err(error) => {
                    failed += 1;
                    if failed <= MOST_REPORTED {
                        report(&error);
                    }
                    serde_json::json!({ "error": whole(&error.source) })
                }
            };
            line += 1;
            value["line"] = line.into();
            out.write(&value)?;
        }
        Common::check_started(&results.report())?;
        file.check(&texts, results.report().items)?;
        // What was there before is worth more than nothing.
        if line > 0 || !common.stop().is_asked() {
            out.close()?;
        }
        common.end(&results.report())
    }
}

fn report(error: &ItemError) {
    say!("line {}: {}: {}", error.index + 1, error.stage, one_line(&whole(&error.source)));
}
