//! Notes of a report on how a job was run: settings and habits that cost throughput.

use std::time::Duration;

/// The measurements that notes are derived from.
#[derive(Clone, Debug, Default)]
pub(in crate::bulk) struct Facts {
    /// Time from the first pull to the last result.
    pub(in crate::bulk) elapsed: Duration,
    pub(in crate::bulk) workers: usize,
    /// Threads that can run at once on this machine.
    pub(in crate::bulk) parallelism: usize,
    /// Time that the consumer spent in the source.
    pub(in crate::bulk) pulling: Duration,
    /// Busy time of all workers.
    pub(in crate::bulk) busy: Duration,
    /// The part of it that was spent running and finishing chunks.
    pub(in crate::bulk) running: Duration,
    /// Items that were run.
    pub(in crate::bulk) items: usize,
    /// Chunks that were run.
    pub(in crate::bulk) chunks: usize,
    /// Items of the largest chunk.
    pub(in crate::bulk) largest: usize,
    /// The chunk size that the caller fixed.
    pub(in crate::bulk) chunk_size: Option<usize>,
    /// The chunk cost that the caller fixed.
    pub(in crate::bulk) max_chunk_cost: Option<u64>,
    /// Processor time of the workers, and of threads that are neither workers nor the consumer, if
    /// known.
    pub(in crate::bulk) processor_time: Option<(Duration, Duration)>,
}

/// Shorter jobs get no advice.
const SHORT: Duration = Duration::from_millis(50);

/// The notes that apply to a job.
pub(in crate::bulk) fn notes(facts: &Facts) -> Vec<String> {
    let mut notes = Vec::new();
    if facts.workers > facts.parallelism {
        notes.push(format!(
            "{} workers share {} processors: cores, affinity and quotas allow no more at once",
            facts.workers, facts.parallelism
        ));
    }
    if facts.elapsed < SHORT || facts.items == 0 {
        return notes;
    }
    let elapsed = facts.elapsed.as_secs_f64();
    let share = facts.busy.as_secs_f64() / (elapsed * facts.workers as f64);
    let pulling = facts.pulling.as_secs_f64() / elapsed;
    if pulling > 0.5 && share < 0.6 {
        notes.push(format!(
            "the source of the items is slower than the workers: reading it took {:.0} % of the time, the workers \
             were {:.0} % busy; more can be had by doing in the model's preparation what the source does now",
            pulling * 100.0,
            share * 100.0
        ));
    }
    let each = facts.running.as_secs_f64() / facts.items as f64;
    let fixed = facts.chunk_size.is_some() || facts.max_chunk_cost.is_some();
    if each < 200e-9 && !fixed {
        notes.push(format!(
            "the items are too small to pay: {:.0} ns of work each is about what handing them to a worker takes",
            each * 1e9
        ));
    }
    if let Some((workers, other)) =
        facts.processor_time.map(|(workers, other)| (workers.as_secs_f64(), other.as_secs_f64()))
        && other > 0.1
        && other > workers * 0.5
    {
        notes.push(format!(
            "threads outside the pool used {other:.1} s of processor time: if the model starts threads of its own, \
             hold it to one, since the workers already use every processor"
        ));
    }
    notes.extend(override_note(facts));
    notes
}

/// A note on a chunk size or cost of the caller's that costs throughput.
fn override_note(facts: &Facts) -> Option<String> {
    let what = match (facts.chunk_size, facts.max_chunk_cost) {
        (Some(items), _) => format!("a chunk size of {items}"),
        (None, Some(cost)) => format!("a chunk cost of {cost}"),
        (None, None) => return None,
    };
    let mean = facts.running / u32::try_from(facts.chunks.max(1)).unwrap_or(u32::MAX);
    if mean < Duration::from_micros(100) && facts.largest < facts.items {
        return Some(format!(
            "{what} is too small: a chunk takes {mean:.1?}, less than it should for the handling not to show; \
             without it the size is chosen by measuring"
        ));
    }
    let least = facts.workers * 2;
    (facts.chunks < least && facts.items >= least && mean > Duration::from_millis(10) && facts.largest > 1).then(|| {
        format!(
            "{what} is too large: {} chunks do not keep {} workers busy to the end; without it the size is chosen \
             by measuring",
            facts.chunks, facts.workers
        )
    })
}

/// The note on items that failed.
pub(in crate::bulk) fn failures(errors: usize, first: &str) -> String {
    match errors {
        1 => first.to_owned(),
        errors => format!("{errors} items failed; the first: {first}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that calls for no note.
    fn good() -> Facts {
        Facts {
            elapsed: Duration::from_secs(10),
            workers: 4,
            parallelism: 4,
            pulling: Duration::from_secs(1),
            busy: Duration::from_secs(38),
            running: Duration::from_secs(36),
            items: 100_000,
            chunks: 4000,
            largest: 50,
            processor_time: Some((Duration::from_secs(37), Duration::from_secs(1))),
            ..Facts::default()
        }
    }

    #[test]
    fn a_good_job_has_no_notes() {
        assert_eq!(notes(&good()), Vec::<String>::new());
        assert_eq!(notes(&Facts { chunk_size: Some(50), ..good() }), Vec::<String>::new());
        assert_eq!(notes(&Facts::default()), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_has_its_note() {
        let s = Duration::from_secs;
        let cases = [
            (Facts { workers: 8, busy: s(70), ..good() }, "8 workers share 4 processors"),
            (Facts { pulling: s(9), busy: s(5), running: s(4), ..good() }, "slower than the workers"),
            (Facts { items: 1_000_000_000, ..good() }, "too small to pay"),
            (Facts { processor_time: Some((s(37), s(100))), ..good() }, "threads of its own"),
            (Facts { chunk_size: Some(1), chunks: 10_000_000, largest: 1, ..good() }, "chunk size of 1 is too small"),
            (Facts { max_chunk_cost: Some(9), chunks: 3, largest: 50_000, ..good() }, "chunk cost of 9 is too large"),
        ];
        for (facts, part) in cases {
            let notes = notes(&facts);
            assert!(notes.len() == 1 && notes[0].contains(part), "{part}: {notes:?}");
        }
    }
}
