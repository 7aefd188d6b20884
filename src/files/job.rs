//! The job over files, as callers build it.

mod start;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    bulk::CancelToken,
    files::{cell::Column, folders, format::Format, prepare::Start, sink::Keep, summary::Summary},
    inference::Description,
};

/// A job over files: rows in, columns out, in a folder of parts that can be resumed after a kill at any moment.
///
/// The same inputs, model and options give the same bytes in the folder, whatever the number of workers, processes,
/// kills and resumes.
///
/// ```no_run
/// # #[cfg(feature = "hugging-face")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use gristmill::{DType, Device, files::{Cell, Column, ColumnType, FileJob, Start}, text::Embedder};
///
/// let embedder = Embedder::open("all-MiniLM-L6-v2", Device::Cpu)?;
/// let vector = ColumnType::Vector { dtype: DType::F32, width: embedder.dimension() };
/// let summary = FileJob::new("vectors", &embedder.describe())
///     .input("texts.jsonl")
///     .column(Column::new("vector", vector))
///     .start(Start::Resume)
///     .run(
///         &embedder.bulk(),
///         |row| row.text("text"),
///         |vector| Ok(vec![Cell::Vector(vector.iter().flat_map(|number| number.to_le_bytes()).collect())]),
///     )?;
/// println!("{} rows, {} failed", summary.rows, summary.failed);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "hugging-face"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct FileJob {
    out: PathBuf,
    description: Description,
    inputs: Vec<PathBuf>,
    read_format: Option<Format>,
    format: Option<Format>,
    columns: Vec<Column>,
    keep: Keep,
    id: Option<String>,
    options: BTreeMap<String, String>,
    rows: u64,
    longest: usize,
    start: Start,
    insists: bool,
    dealt: (usize, usize),
    leaves_out: bool,
    pub(in crate::files) max_errors: u64,
    cancel: CancelToken,
    lease: Duration,
    pub(in crate::files) progress: Option<OnPart>,
}

type OnPart = Arc<dyn Fn(&Summary) + Send + Sync>;

impl FileJob {
    /// A job that writes into the folder `out`, with the model that `description` describes.
    ///
    /// With the features `s3`, `gs` and `az` also a URL such as `s3://bucket/vectors`.
    pub fn new(out: impl AsRef<Path>, description: &Description) -> Self {
        Self {
            out: out.as_ref().to_owned(),
            description: description.clone(),
            inputs: Vec::new(),
            read_format: None,
            format: None,
            columns: Vec::new(),
            keep: Keep::All,
            id: None,
            options: BTreeMap::new(),
            rows: 10_000,
            longest: 16 << 20,
            start: Start::New,
            insists: false,
            dealt: (0, 1),
            leaves_out: false,
            max_errors: u64::MAX,
            cancel: CancelToken::new(),
            lease: folders::LEASE,
            progress: None,
        }
    }

    /// Adds an input: a file, a folder with all files in it, or a pattern such as `texts/*.jsonl`.
    ///
    /// With the features `s3`, `gs` and `az` also such a URL (`s3://bucket/texts/*.jsonl`), and with `http` the URL of a
    /// file (`https://host/texts.jsonl`). Credentials come from the environment alone. A local path that looks like a URL
    /// begins with `./`.
    #[must_use]
    pub fn input(mut self, path: impl AsRef<Path>) -> Self {
        self.inputs.push(path.as_ref().to_owned());
        self
    }

    /// Sets the format of the inputs; by default their names tell it.
    #[must_use]
    pub fn read_as(mut self, format: Format) -> Self {
        self.read_format = Some(format);
        self
    }

    /// Sets the format of the parts; by default that of the inputs if it is Parquet or Arrow, else lines of JSON.
    #[must_use]
    pub fn write_as(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Adds a column to write.
    #[must_use]
    pub fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// Sets which columns of the inputs are written too; all by default.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Sets the column whose value names a row in its dead letter, beside file and number.
    #[must_use]
    pub fn id(mut self, column: impl Into<String>) -> Self {
        self.id = Some(column.into());
        self
    }

    /// Adds an option on which the output depends, such as the column of the texts; a job that is resumed with another
    /// value is refused.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// Sets the rows of a shard, and so of a part; 10,000 by default. A shard of text has at most about 64 MiB.
    #[must_use]
    pub fn rows_per_shard(mut self, rows: u64) -> Self {
        self.rows = rows.max(1);
        self
    }

    /// Sets the bytes of the longest row of text that is read; 16 MiB by default. A longer one fails.
    #[must_use]
    pub fn longest_row(mut self, bytes: usize) -> Self {
        self.longest = bytes.clamp(1, usize::MAX / 4);
        self
    }

    /// Sets what to do with a folder that holds a job already; it is refused by default.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Accepts another model, arithmetic or options than those of the finished parts; the plan names both.
    ///
    /// Columns, formats, the rows of a shard and what becomes of failed rows stay as they are.
    #[must_use]
    pub fn insist(mut self) -> Self {
        self.insists = true;
        self
    }

    /// Runs only the shards that fall to process `index` of `count`, the first being 0.
    #[must_use]
    pub fn shard(mut self, index: usize, count: usize) -> Self {
        self.dealt = (index, count);
        self
    }

    /// Leaves failed rows out; by default they have nulls, or NaN and zeros in `.npy`.
    #[must_use]
    pub fn leave_out_failed(mut self) -> Self {
        self.leaves_out = true;
        self
    }

    /// Sets how many rows of the folder may fail before the job ends.
    #[must_use]
    pub fn max_errors(mut self, rows: u64) -> Self {
        self.max_errors = rows;
        self
    }

    /// Lets `token` stop the job: the shards in hand are dropped, and the folder can be resumed.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = token;
        self
    }

    /// Sets how long other processes wait for this one's parts in a store once it no longer answers; a minute by default.
    ///
    /// From a tenth of a second to an hour. Processes of one job may have different ones. In a local folder locks end with
    /// their process.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_millis(100), Duration::from_secs(3600));
        self
    }

    /// Calls `call` after each part that is finished here.
    #[must_use]
    pub fn progress(mut self, call: impl Fn(&Summary) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(call));
        self
    }
}

impl fmt::Debug for FileJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJob").field("out", &self.out).field("inputs", &self.inputs).finish_non_exhaustive()
    }
}
