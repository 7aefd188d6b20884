//! Jobs over files, with the columns that the commands write.

use std::path::PathBuf;

use gristmill::{
    ErrorKind,
    bulk::{Bulk, CancelToken, Staged, Stages},
    files::{Cell, Column, ColumnType, FileJob, Format, Keep, Row, Start, Summary, verify_complete},
    text::{Ranges, Reranked, Tagged},
};
use pyo3::{Bound, FromPyObject, IntoPyObject, PyResult, Python, pyfunction};
use serde_json::Value;

use crate::{
    classifier::Classifier,
    commands::{
        classify,
        common::file_job::cells,
        embed::{tables::Table, vectors::format_of},
        model_table::ModelTable,
        rerank, tag,
    },
    embedder::Embedder,
    errors::{failed, wrong},
    job::{check_process, interruptible, json},
    model::Model,
    options::prompt,
    reranker::Reranker,
    tagger::Tagger,
};

/// A model that runs over files.
#[derive(FromPyObject)]
pub(crate) enum AnyModel<'py> {
    Classifier(Bound<'py, Classifier>),
    Embedder(Bound<'py, Embedder>),
    Model(Bound<'py, Model>),
    Reranker(Bound<'py, Reranker>),
    Tagger(Bound<'py, Tagger>),
}

/// What the Python half says of a job.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    inputs: Vec<PathBuf>,
    out_dir: PathBuf,
    columns: Vec<String>,
    output: String,
    ranges: Option<(Vec<f32>, Vec<f32>)>,
    prompt: Option<String>,
    prompt_name: Option<String>,
    from_format: Option<String>,
    to_format: Option<String>,
    keep: Option<Vec<String>>,
    id: Option<String>,
    rows: u64,
    longest: usize,
    shard: (usize, usize),
    max_errors: Option<u64>,
    skip_failed: bool,
    insist: bool,
    start: String,
}

/// How a job ended.
#[derive(IntoPyObject)]
pub(crate) struct Ended {
    rows: u64,
    finished: u64,
    failed: u64,
    parts: usize,
    finished_parts: usize,
    ran: u64,
    complete: bool,
}

/// What a complete folder holds.
#[derive(IntoPyObject)]
pub(crate) struct Complete {
    rows: u64,
    failed: u64,
    parts: usize,
}

/// Runs a job over files: how it ended, and the report of this process as JSON, if it ran any row.
#[pyfunction]
pub(crate) fn run_job(py: Python<'_>, model: AnyModel<'_>, options: Options) -> PyResult<(Ended, Option<String>)> {
    check_process(py)?;
    let columns: Vec<&str> = options.columns.iter().map(String::as_str).collect();
    let summary = match (&model, &columns[..]) {
        (AnyModel::Embedder(model), [column]) => embed(py, model.get(), &options, column),
        (AnyModel::Classifier(model), [column]) => {
            let Classifier { classifier, workers } = model.get();
            let job = options.job(py, &classifier.describe(), named(&classify::COLUMNS))?.option("column", *column);
            let labels = classifier.labels();
            let write = |class| written(&classify::COLUMNS, classify::row(labels, class));
            run(py, job, classifier.bulk(), *workers, |row| row.text(column), write)
        }
        (AnyModel::Tagger(model), [column]) => {
            let Tagger { tagger, workers, .. } = model.get();
            let job = options.job(py, &tagger.describe(), named(&tag::COLUMNS))?.option("column", *column);
            let write = |tagged: Tagged| written(&tag::COLUMNS, tag::row(tagged));
            run(py, job, tagger.bulk(), *workers, |row| row.text(column), write)
        }
        (AnyModel::Reranker(model), [query, document]) => {
            let Reranker { reranker, workers } = model.get();
            let job = options.job(py, &reranker.describe(), named(&rerank::COLUMNS))?;
            let job = job.option("query", *query).option("document", *document);
            let read = |row: &Row<'_>| Ok((row.text(query)?.into(), row.text(document)?.into()));
            let write = |pair: Reranked| written(&rerank::COLUMNS, rerank::row(pair));
            run(py, job, reranker.detailed(), *workers, read, write)
        }
        (AnyModel::Model(model), []) => {
            let Model { session, workers, .. } = model.get();
            let table = ModelTable::of(session);
            let job = options.job(py, &gristmill::Inference::describe(&**session), table.columns())?;
            let write = |outputs| table.write(&outputs);
            run(py, job, Bulk::new(session.clone()), *workers, |row| table.read(row), write)
        }
        _ => Err(wrong(py, ErrorKind::Internal, "columns that the model does not read".to_owned())),
    }?;
    let report = summary.report.as_ref().map(|report| json(py, report)).transpose()?;
    let complete = summary.is_complete();
    let Summary { rows, finished, failed, parts, finished_parts, ran, .. } = summary;
    Ok((Ended { rows, finished, failed, parts, finished_parts, ran, complete }, report))
}

/// Proves that the folder of a job is complete.
#[pyfunction]
pub(crate) fn verify_job(py: Python<'_>, folder: PathBuf) -> PyResult<Complete> {
    let found = py.detach(|| verify_complete(&folder)).map_err(|error| failed(py, &error))?;
    Ok(Complete { rows: found.rows, failed: found.failed, parts: found.parts })
}

fn embed(py: Python<'_>, model: &Embedder, options: &Options, column: &str) -> PyResult<Summary> {
    let Embedder { embedder, workers } = model;
    let refused = |error: gristmill::Error| failed(py, &error);
    let embedder = match (&options.prompt, &options.prompt_name) {
        (None, None) => embedder.clone(),
        (text, name) => embedder.with_prompt(&prompt(text.clone(), name.clone())).map_err(refused)?,
    };
    let format = format_of(&options.output)
        .map_err(|error| wrong(py, ErrorKind::InvalidInput, error.to_string().replace("--output", "output")))?;
    let ranges = options.ranges.clone().map(|(least, most)| Ranges::new(least, most)).transpose().map_err(refused)?;
    let table = Table::new(format, ranges, embedder.dimension()).map_err(refused)?;
    let job = table.options(options.job(py, &embedder.describe(), table.columns())?, column);
    run(py, job, embedder.detailed(), *workers, |row| row.text(column), |embedded| table.cells(&embedded))
}

/// Runs a job to its end; Ctrl-C drops the parts in hand, and the job can be resumed.
fn run<S, I>(
    py: Python<'_>,
    job: FileJob,
    bulk: Bulk<S>,
    workers: Option<usize>,
    read: impl Fn(&Row<'_>) -> gristmill::Result<I> + Send,
    write: impl Fn(S::Output) -> gristmill::Result<Vec<Cell>> + Send,
) -> PyResult<Summary>
where
    S: Staged + Stages<I> + 'static,
    I: Send + 'static,
{
    let token = CancelToken::new();
    let job = job.cancel(token.clone());
    let bulk = match workers {
        Some(workers) => bulk.workers(workers),
        None => bulk,
    };
    interruptible(py, &token, move || job.run(&bulk, read, write))?.map_err(|error| failed(py, &error))
}

fn named(columns: &[(&str, ColumnType)]) -> Vec<Column> {
    columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect()
}

fn written(columns: &[(&str, ColumnType)], row: Value) -> gristmill::Result<Vec<Cell>> {
    Ok(cells(columns, &row))
}

impl Options {
    fn job(&self, py: Python<'_>, description: &gristmill::Description, columns: Vec<Column>) -> PyResult<FileJob> {
        let format = |name: &Option<String>| {
            let format = name.as_deref().map(str::parse::<Format>).transpose();
            format.map_err(|error| failed(py, &error))
        };
        let mut job = FileJob::new(&self.out_dir, description)
            .rows_per_shard(self.rows)
            .longest_row(self.longest)
            .shard(self.shard.0, self.shard.1)
            .start(match self.start.as_str() {
                "retry" => Start::RetryErrors,
                "resume" => Start::Resume,
                _ => Start::New,
            });
        job = self.inputs.iter().fold(job, FileJob::input);
        job = columns.into_iter().fold(job, FileJob::column);
        if let Some(format) = format(&self.from_format)? {
            job = job.read_as(format);
        }
        if let Some(format) = format(&self.to_format)? {
            job = job.write_as(format);
        }
        if let Some(names) = &self.keep {
            job = job.keep(if names.is_empty() { Keep::Nothing } else { Keep::Only(names.clone()) });
        }
        if let Some(id) = &self.id {
            job = job.id(id);
        }
        if let Some(rows) = self.max_errors {
            job = job.max_errors(rows);
        }
        if self.skip_failed {
            job = job.leave_out_failed();
        }
        Ok(if self.insist { job.insist() } else { job })
    }
}
