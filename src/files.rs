//! Jobs over files: tables of rows in, parts of a folder out, resumable after a kill at any moment.
//!
//! A job ([`FileJob`]) is a plan, shards and a manifest. The plan, written before the first row, has the inputs with their
//! sizes and hashes, the model's fingerprint, the options and the arithmetic, and the shards: consecutive rows of one
//! input. A shard becomes a part of the output, which is written under a temporary name, synced, renamed, and noted in the
//! manifest with its hash. Processes that share a folder take the shards that nobody holds; the lock of a process ends
//! with it.
//!
//! | in the folder | holds |
//! |---|---|
//! | `part-00000-of-00012.jsonl` | the rows of one shard, in order |
//! | `part-00000-of-00012.errors.jsonl` | its dead letters: file, row, id, stage, error and the row itself, a line each |
//! | `_gristmill/plan.json` | the plan |
//! | `_gristmill/manifest.jsonl` | a line for each finished part |
//!
//! Inputs may be in object stores and on web servers (features `s3`, `gs`, `az`, `http`): [`FileJob::input`] takes their URLs.
//! The folder may be in an object store: [`FileJob::new`] takes its URL.
//!
//! [`verify_complete`] proves that a folder is complete, [`compare`] compares two, and [`merge`] puts the parts together
//! that processes wrote to folders of their own.

mod cell;
mod feed;
mod folder;
mod folders;
mod format;
mod inputs;
mod job;
mod json;
mod kept;
mod letters;
mod manifest;
mod members;
mod merge;
mod part;
mod place;
mod plan;
mod prepare;
mod queue;
mod record;
mod run;
mod sink;
mod source;
#[cfg(feature = "stores")]
mod store;
mod summary;
#[cfg(feature = "parquet")]
mod table;
mod url;
mod verify;
mod writer;

pub use cell::{Cell, Column, ColumnType};
pub use format::Format;
pub use job::FileJob;
pub use merge::merge;
pub use prepare::Start;
pub use record::Row;
pub use sink::Keep;
pub use summary::Summary;
pub use verify::{Complete, compare, verify_complete};
