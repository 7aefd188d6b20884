//! What is finished of a job, a line a part.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    files::{folder::Lock, json, plan::Plan},
};

/// A finished part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::files) struct Finished {
    pub(in crate::files) name: String,
    /// Rows of the shard, failed ones included.
    pub(in crate::files) rows: u64,
    pub(in crate::files) failed: u64,
    pub(in crate::files) bytes: u64,
    pub(in crate::files) blake3: String,
    /// The hash of the dead letters; empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::files) errors_blake3: String,
    /// The hash of the rows of the input that did not fail.
    pub(in crate::files) source_blake3: String,
}

/// Finished parts by name.
pub(in crate::files) type Parts = BTreeMap<String, Finished>;

/// A line: a part is finished, or is to be made once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::files) enum Line {
    Finished(Finished),
    Reopened { reopened: String },
}

/// Where a folder notes which parts are finished.
pub(in crate::files) trait Log: fmt::Debug {
    /// Reads what was noted since.
    fn read(&mut self, finished: &mut Parts) -> Result<()>;

    /// Reads what was noted of one part since, at least.
    fn read_part(&mut self, _name: &str, finished: &mut Parts) -> Result<()> {
        self.read(finished)
    }

    /// Takes parts back that are no longer in the folder as they were written; the caller holds the folder's lock.
    fn check(&mut self, lock: Option<&Lock>, finished: &mut Parts) -> Result<()>;

    /// Writes the manifest whole once all parts are finished, and removes what no finished job needs.
    ///
    /// A part that turns out not to be whole is taken back instead.
    fn complete(&mut self, finished: &mut Parts) -> Result<()>;
}

/// The finished parts of a job.
#[derive(Debug)]
pub(in crate::files) struct Manifest {
    pub(in crate::files) finished: Parts,
    log: Box<dyn Log>,
}

impl Manifest {
    pub(in crate::files) fn read(log: impl Log + 'static) -> Result<Self> {
        let mut manifest = Self { finished: Parts::new(), log: Box::new(log) };
        manifest.refresh()?;
        Ok(manifest)
    }

    /// Reads what was noted since.
    pub(in crate::files) fn refresh(&mut self) -> Result<()> {
        self.log.read(&mut self.finished)
    }

    /// Reads what was noted of one part since, at least.
    pub(in crate::files) fn refresh_part(&mut self, name: &str) -> Result<()> {
        self.log.read_part(name, &mut self.finished)
    }

    /// Takes parts back that are no longer in the folder as they were written; the caller holds the folder's lock.
    pub(in crate::files) fn check(&mut self, lock: Option<&Lock>) -> Result<()> {
        self.log.check(lock, &mut self.finished)
    }

    /// Writes the manifest whole, a line a part in order; afterwards a part may be unfinished again.
    pub(in crate::files) fn complete(&mut self) -> Result<()> {
        self.log.complete(&mut self.finished)
    }

    /// Whether every shard is finished.
    pub(in crate::files) fn is_complete(&self, plan: &Plan) -> bool {
        plan.shards.iter().all(|shard| self.finished.contains_key(&shard.name))
    }

    pub(in crate::files) fn failed(&self) -> u64 {
        self.finished.values().map(|part| part.failed).sum()
    }
}

/// The lines of finished parts, in order.
pub(in crate::files) fn lines(finished: &Parts) -> Result<String> {
    finished.values().map(|part| Ok(json::line(part)? + "\n")).collect()
}

/// Reads lines of a manifest, which is at `path`.
pub(in crate::files) fn read_lines(text: &[u8], path: &Path, finished: &mut Parts) -> Result<()> {
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = serde_json::from_slice(line).map_err(|error| {
            let (path, line) = (path.display(), String::from_utf8_lossy(line));
            Error::invalid_input(format!("{path} is damaged: {error} in `{line:.60}`; run the job into a new folder"))
        })?;
        match line {
            Line::Finished(part) => drop(finished.insert(part.name.clone(), part)),
            Line::Reopened { reopened } => drop(finished.remove(&reopened)),
        }
    }
    Ok(())
}
