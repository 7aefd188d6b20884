//! A job over files as a command: the flags that all of them take, and how such a job ends.

use std::path::PathBuf;

#[cfg(feature = "files")]
use gristmill::{
    Description,
    bulk::{Bulk, CancelToken, Staged, Stages},
    files::{Cell, Column, ColumnType, FileJob, Format, Keep, Row, Start},
};
use lexopt::{Parser, ValueExt as _};

use super::Flag;
#[cfg(feature = "files")]
use super::{Common, Failure, Outcome, output, plain_path, stop};

/// The flags of jobs over files.
pub const FLAGS: &str = "  --out-dir DIR     run as a job over files (docs/file-jobs.md): the inputs are files, folders or patterns of lines, JSONL,
                    CSV, TSV (also .gz and .zst), Parquet or Arrow, also as s3://, gs://, az:// or https:// URLs where
                    those are built in, and DIR gets the parts, which hold the columns of the inputs and those of the
                    job; DIR may be a URL of s3://, gs:// or az:// too
  --resume          go on with the job in DIR, or start it; processes that share DIR take different parts
  --retry-errors    go on with the job in DIR, and run its failed rows once more, which may have been repaired
  --insist          go on although model, options or arithmetic changed
  --from FORMAT     lines, jsonl, csv, tsv, parquet or arrow (as the names of the inputs tell)
  --to FORMAT       jsonl, parquet, arrow or npy (that of the inputs, or jsonl)
  --keep NAMES      the columns of the inputs to write, separated by commas, or none (all of them)
  --id NAME         the column that names a row among the failed ones
  --skip-failed     leave failed rows out (they have nulls)
  --max-errors N    end the job after N failed rows (never)
  --rows N          rows of a part (10000)
  --longest N       bytes of the longest row (16777216)
  --shard I/N       run the I-th of N shares of the parts, the first being 1
  --lease SECONDS   how long processes that share a DIR in a store wait for one that no longer answers (60)";

/// What the flags say.
#[derive(Debug, Default)]
pub struct FileFlags {
    pub out: Option<PathBuf>,
    /// The flags that are for such jobs alone, by which a command without `--out-dir` is told.
    first: Option<String>,
    resume: bool,
    retry: bool,
    insist: bool,
    skip: bool,
    from: Option<String>,
    to: Option<String>,
    keep: Option<String>,
    id: Option<String>,
    max_errors: Option<u64>,
    rows: Option<u64>,
    longest: Option<usize>,
    shard: Option<(usize, usize)>,
    lease: Option<u64>,
    /// Values of the command line behind the first one.
    pub more: Vec<PathBuf>,
}

impl FileFlags {
    /// Takes a flag of jobs over files; false for another one.
    pub fn take(&mut self, flag: &Flag<'_>, parser: &mut Parser) -> Result<bool, lexopt::Error> {
        let Flag::Named(name) = flag else { return Ok(false) };
        match *name {
            "out-dir" => self.out = Some(parser.value()?.into()),
            "resume" => self.resume = true,
            "retry-errors" => self.retry = true,
            "insist" => self.insist = true,
            "skip-failed" => self.skip = true,
            "from" => self.from = Some(parser.value()?.string()?),
            "to" => self.to = Some(parser.value()?.string()?),
            "keep" => self.keep = Some(parser.value()?.string()?),
            "id" => self.id = Some(parser.value()?.string()?),
            "max-errors" => self.max_errors = Some(parser.value()?.parse()?),
            "rows" => self.rows = Some(parser.value()?.parse()?),
            "lease" => self.lease = Some(parser.value()?.parse()?),
            "longest" => self.longest = Some(parser.value()?.parse()?),
            "shard" => {
                let text = parser.value()?.string()?;
                let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
                match numbers {
                    Some((index, count)) if (1..=count).contains(&index) => self.shard = Some((index - 1, count)),
                    _ => return Err(format!("--shard is I/N with I from 1 to N, not {text}").into()),
                }
            }
            _ => return Ok(false),
        }
        self.first.get_or_insert_with(|| (*name).to_owned());
        Ok(true)
    }

    /// Refuses what only a job over files takes, where there is no `--out-dir`.
    pub fn check(&self) -> Result<(), lexopt::Error> {
        match (&self.out, &self.first, self.more.first()) {
            (Some(_), ..) if !cfg!(feature = "files") => Err("--out-dir is not built in (feature `files`)".into()),
            (Some(_), ..) | (None, None, None) => Ok(()),
            (None, Some(flag), _) => Err(format!("--{flag} is for jobs over files, with --out-dir DIR").into()),
            (None, None, Some(value)) => Err(lexopt::Arg::Value(value.clone().into()).unexpected()),
        }
    }
}

#[cfg(feature = "files")]
impl FileFlags {
    /// The job in `out` over `input` and the further values of the command line.
    pub fn job(
        &self,
        common: &Common,
        [model, input]: [&std::path::Path; 2],
        description: &Description,
        columns: Vec<Column>,
    ) -> Result<FileJob, Failure> {
        let out = self.out.clone().unwrap_or_default();
        let model_files = output::model_files(model, &[]);
        if let Some(file) = model_files.iter().find(|file| within(file, &out)) {
            return Err(Failure::new(format!("the model's {} is in {}", plain_path(file), plain_path(&out))));
        }
        common.check_report(&model_files.iter().map(PathBuf::as_path).chain([input]).collect::<Vec<_>>())?;
        let format = |name: &Option<String>| {
            let format = name.as_deref().map(str::parse::<Format>).transpose();
            format.map_err(|error| Failure::usage(format!("{error}; see --help")))
        };
        let mut job = FileJob::new(&out, description).input(input);
        job = self.more.iter().fold(job, FileJob::input);
        job = columns.into_iter().fold(job, FileJob::column);
        if let Some(format) = format(&self.from)? {
            job = job.read_as(format);
        }
        if let Some(format) = format(&self.to)? {
            job = job.write_as(format);
        }
        if let Some(names) = &self.keep {
            job = job.keep(match names.as_str() {
                "none" => Keep::Nothing,
                names => Keep::Only(names.split(',').map(|name| name.trim().to_owned()).collect()),
            });
        }
        if let Some(id) = &self.id {
            job = job.id(id);
        }
        if let Some(rows) = self.max_errors {
            job = job.max_errors(rows);
        }
        if let Some(rows) = self.rows {
            job = job.rows_per_shard(rows);
        }
        if let Some(bytes) = self.longest {
            job = job.longest_row(bytes);
        }
        if let Some((index, count)) = self.shard {
            job = job.shard(index, count);
        }
        if let Some(seconds) = self.lease {
            job = job.lease(std::time::Duration::from_secs(seconds));
        }
        if self.insist {
            job = job.insist();
        }
        if self.skip {
            job = job.leave_out_failed();
        }
        Ok(job.start(match (self.retry, self.resume) {
            (true, _) => Start::RetryErrors,
            (false, true) => Start::Resume,
            (false, false) => Start::New,
        }))
    }

    /// Runs a job to its end, and says how it ended.
    pub fn run<S, I>(
        &self,
        common: &Common,
        job: FileJob,
        bulk: Bulk<S>,
        read: impl Fn(&Row<'_>) -> gristmill::Result<I>,
        write: impl Fn(S::Output) -> gristmill::Result<Vec<Cell>>,
    ) -> Outcome
    where
        S: Staged + Stages<I> + 'static,
        I: Send + 'static,
    {
        let token = CancelToken::new();
        common.stop().cancel_on_signal(&token)?;
        let job = job.cancel(token).progress(progress());
        let summary = job.run(&common.bulk(bulk), read, write)?;
        let (out, parts) = (self.out.clone().unwrap_or_default(), summary.parts);
        let (finished, rows, failed) = (summary.finished_parts, summary.rows, summary.failed);
        say!("{}: {finished} of {parts} parts, {} of {rows} rows, {failed} failed", plain_path(&out), summary.finished);
        if !summary.is_complete() && (summary.stopped || stop::asked().is_some()) {
            say!("the job can be resumed: --resume");
        }
        match &summary.report {
            // Failed rows of others count for the exit code, and those of this process are in the report.
            Some(report) => {
                let finished = format!("{} of {rows}", summary.finished);
                let facts = [
                    ("folder", out.display().to_string()),
                    ("parts of the whole job", format!("{} of {parts}", summary.finished_parts)),
                    ("rows of the whole job", finished),
                    ("failed rows of the whole job", failed.to_string()),
                    ("rows of this run", summary.ran.to_string()),
                ];
                common.end_with(report, &facts)?;
                Ok(common.code(failed > 0))
            }
            None => Ok(common.code(failed > 0)),
        }
    }
}

/// What has come of the job, about a line a minute where there is no terminal with a bar.
#[cfg(feature = "files")]
fn progress() -> impl Fn(&gristmill::files::Summary) + Send + Sync + 'static {
    use std::{
        io::{IsTerminal, stderr},
        sync::Mutex,
        time::{Duration, Instant},
    };
    const EVERY: Duration = Duration::from_secs(60);
    let (started, last) = (Instant::now(), Mutex::new((Instant::now(), None)));
    move |summary| {
        let Ok(mut last) = last.lock() else { return };
        // Rows that were finished before count neither as done nor as to do.
        let (first, before) = *last.1.get_or_insert((summary.finished, summary.ran));
        if stderr().is_terminal() || last.0.elapsed() < EVERY {
            return;
        }
        last.0 = Instant::now();
        let seconds = started.elapsed().as_secs_f64();
        let pace = (summary.ran.max(before) as f64 / seconds).max(f64::MIN_POSITIVE);
        let all = (summary.finished.saturating_sub(first) as f64 / seconds).max(pace);
        let left = summary.rows.saturating_sub(summary.finished) as f64 / all;
        let gristmill::files::Summary { rows, finished, failed, parts, finished_parts, .. } = summary;
        say!(
            "{finished_parts} of {parts} parts, {finished} of {rows} rows, {failed} failed, {pace:.0} rows/s, about {:.0} min left",
            left / 60.0
        );
    }
}

#[cfg(feature = "files")]
fn within(file: &std::path::Path, folder: &std::path::Path) -> bool {
    let place = |path: &std::path::Path| std::fs::canonicalize(path).ok();
    place(file).zip(place(folder)).is_some_and(|(file, folder)| file.starts_with(folder))
}

/// The values of columns from an object of JSON that has them by name.
#[cfg(feature = "files")]
pub fn cells(columns: &[(&str, ColumnType)], value: &serde_json::Value) -> Vec<Cell> {
    let cell = |(name, kind): &(&str, ColumnType)| {
        let value = &value[*name];
        match kind {
            ColumnType::Bool => value.as_bool().map_or(Cell::Null, Cell::Bool),
            ColumnType::Integer => value.as_i64().map_or(Cell::Null, Cell::Integer),
            ColumnType::Float => value.as_f64().map_or(Cell::Null, |number| Cell::Float(number as f32)),
            ColumnType::Text => value.as_str().map_or(Cell::Null, |text| Cell::Text(text.to_owned())),
            _ => Cell::Json(value.to_string()),
        }
    };
    columns.iter().map(cell).collect()
}
