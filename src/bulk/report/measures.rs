//! What a job measures of its chunks, for its report.

use crate::bulk::report::{
    devices::DeviceTally,
    history::History,
    slowest::Slowest,
    spread::{ChunkItems, Times},
};

/// Measurements of a job's chunks.
#[derive(Debug, Default)]
pub(in crate::bulk) struct Measures {
    pub(in crate::bulk) chunks: ChunkItems,
    /// Time that running and finishing each chunk took.
    pub(in crate::bulk) chunk_times: Times,
    /// Time from preparing an item to running its chunk, the longest of each chunk.
    pub(in crate::bulk) queue_waits: Times,
    pub(in crate::bulk) slowest: Slowest,
    pub(in crate::bulk) devices: DeviceTally,
    pub(in crate::bulk) history: History,
}
