//! The failures of a job, by stage and kind.

use crate::error::{Error, ErrorKind, Stage, chain};

/// Characters of an error's text that are kept.
const LONGEST: usize = 500;

/// The failures of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bulk) struct FailureKind {
    pub(in crate::bulk) stage: Stage,
    pub(in crate::bulk) kind: ErrorKind,
    pub(in crate::bulk) count: usize,
    /// The text of the first one.
    pub(in crate::bulk) first: String,
}

/// The failures of a job, in the order of the first of each kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Failures(Vec<FailureKind>);

impl Failures {
    pub(crate) fn add(&mut self, stage: Stage, error: &Error) {
        let kind = error.kind();
        match self.0.iter_mut().find(|failures| (failures.stage, failures.kind) == (stage, kind)) {
            Some(failures) => failures.count += 1,
            None => {
                let first = chain(error).chars().take(LONGEST).collect();
                self.0.push(FailureKind { stage, kind, count: 1, first });
            }
        }
    }

    /// Adds other failures, of other stages; returns their number.
    #[cfg(feature = "files")]
    pub(in crate::bulk) fn join(&mut self, other: &Self) -> usize {
        self.0.extend_from_slice(&other.0);
        other.0.iter().map(|failures| failures.count).sum()
    }

    /// The kinds, the most frequent first.
    pub(in crate::bulk) fn sorted(&self) -> Vec<&FailureKind> {
        let mut kinds: Vec<_> = self.0.iter().collect();
        kinds.sort_by_key(|failures| std::cmp::Reverse(failures.count));
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_stage_and_kind() {
        let mut failures = Failures::default();
        failures.add(Stage::Read, &Error::invalid_input("null"));
        (0..3).for_each(|row| failures.add(Stage::Run, &Error::user(format!("row {row}"))));
        failures.add(Stage::Run, &Error::invalid_input("x".repeat(9000)));
        failures.add(Stage::Read, &Error::invalid_input("again"));
        let sorted: Vec<_> = failures.sorted().into_iter().map(|kind| (kind.count, kind.stage, kind.kind)).collect();
        let due = [
            (3, Stage::Run, ErrorKind::User),
            (2, Stage::Read, ErrorKind::InvalidInput),
            (1, Stage::Run, ErrorKind::InvalidInput),
        ];
        assert_eq!(sorted, due);
        assert_eq!((&*failures.sorted()[0].first, failures.sorted()[2].first.len()), ("row 0", LONGEST));
    }
}
