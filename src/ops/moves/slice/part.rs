//! The range of one axis of a `Slice`.

use crate::shape::{Condition, Dim, MAX_ELEMENTS};

/// The range of one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The axis.
    pub axis: usize,
    /// The first element; negative counts from the end; clamped to the axis.
    pub start: Dim,
    /// The end, exclusive; negative and clamped as `start`.
    pub end: Dim,
    /// The step between elements; not 0. Negative reads backwards.
    pub step: i64,
}

/// Beyond every symbolic size: exporters write such numbers, at least 10^9, for "to the end".
const BEYOND: i64 = 1_000_000_000;

impl Part {
    /// The first element and the number of elements, of an axis of that size, clamped as in ONNX.
    pub(super) fn resolve(&self, start: i64, end: i64, size: usize) -> (usize, usize) {
        let size = size as i64;
        let front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        if size == 0 {
            return (0, 0);
        }
        let (start, span) = if self.step > 0 {
            let start = front(start).clamp(0, size);
            (start, front(end).clamp(0, size) - start)
        } else {
            let start = front(start).clamp(0, size - 1);
            (start, start - front(end).clamp(-1, size - 1))
        };
        let count = (span.max(0) as u64).div_ceil(self.step.unsigned_abs());
        (start as usize, count as usize)
    }

    /// The number of elements of an axis of that size, and what it assumes.
    ///
    /// A size that data tell `may_be_empty`: then nothing is assumed of it.
    pub(super) fn count(&self, size: &Dim, may_be_empty: bool) -> (Dim, Vec<Condition>) {
        let numbers = self.start.as_fixed().zip(self.end.as_fixed());
        if let (Some((start, end)), Some(size)) = (numbers, size.as_fixed().and_then(|n| usize::try_from(n).ok())) {
            return (Dim::from(self.resolve(start, end, size).1), Vec::new());
        }
        if self.is_reversed() {
            return (size.clone(), Vec::new());
        }
        // The positions are clamped between these.
        let (least, most) = match self.step > 0 {
            true => (Dim::from(0), size.clone()),
            false => (Dim::number(-1), size - &Dim::from(1)),
        };
        let mut axis = Axis { size, most: &most, may_be_empty, assumed: Vec::new() };
        let (start, end) = (axis.position(&self.start, &Dim::from(0)), axis.position(&self.end, &least));
        let span = if self.step > 0 { &end - &start } else { &start - &end };
        // No axis is longer than the largest step here.
        let step = self.step.saturating_abs().min(MAX_ELEMENTS as i64);
        let count = span.ceil_div(&Dim::number(step));
        (axis.larger(&count, &Dim::from(0)), axis.assumed)
    }

    /// Whether the part is all of any axis, from its last element to its first.
    fn is_reversed(&self) -> bool {
        let last = |at: i64| at == -1 || at >= BEYOND;
        self.step == -1
            && self.start.as_fixed().is_some_and(last)
            && self.end.as_fixed().is_some_and(|at| at <= -BEYOND)
    }

    /// Whether the part is all of an axis of that size.
    pub(super) fn is_whole(&self, size: &Dim) -> bool {
        self.step == 1 && self.start.as_fixed() == Some(0) && self.count(size, false).0 == *size
    }
}

/// An axis while positions on it are clamped.
struct Axis<'a> {
    size: &'a Dim,
    /// The last position.
    most: &'a Dim,
    may_be_empty: bool,
    assumed: Vec<Condition>,
}

impl Axis<'_> {
    /// The position, counted from the front, and clamped between `least` and the last position.
    fn position(&mut self, at: &Dim, least: &Dim) -> Dim {
        match at.as_fixed() {
            Some(number) if number >= BEYOND => self.most.clone(),
            // Even an empty axis has no position behind its last one.
            Some(number) if number <= -BEYOND => Dim::min(least, self.most),
            Some(number) => {
                let front = at.wrap(self.size);
                // One that counts from the end is before the last position.
                let low = if number < 0 { self.larger(&front, least) } else { front };
                self.smaller(&low)
            }
            None => {
                let front = at.wrap(self.size);
                let low = self.larger(&front, least);
                self.smaller(&low)
            }
        }
    }

    /// The larger of two; the first if it is for all sizes from 1 up, which is then assumed.
    fn larger(&mut self, a: &Dim, least: &Dim) -> Dim {
        let difference = a - least;
        if !self.may_be_empty && !difference.is_never_negative() && difference.is_at_least(0) {
            self.assumed.push(Condition::at_least("an axis that is cut, or its part,", a, least));
            return a.clone();
        }
        Dim::max(a, least)
    }

    /// The smaller of a position and the last one; the position if it is for all sizes from 1 up.
    fn smaller(&mut self, at: &Dim) -> Dim {
        let difference = self.most - at;
        if !self.may_be_empty && !difference.is_never_negative() && difference.is_at_least(0) {
            self.assumed.push(Condition::at_least("an axis that is cut", self.most, at));
            return at.clone();
        }
        Dim::min(at, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Bindings, Symbol};

    /// Checks the symbolic count against the clamping of numbers, where its conditions hold.
    fn check(part: &Part, size: &Dim, bindings: &Bindings) -> bool {
        let (count, assumed) = part.count(size, false);
        if assumed.iter().any(|condition| condition.check(bindings).is_err()) {
            return false;
        }
        let number = |dim: &Dim| dim.eval(bindings).unwrap();
        let want = part.resolve(number(&part.start), number(&part.end), number(size) as usize).1;
        assert_eq!(number(&count), want as i64, "{part:?} of {size}: {count} with {bindings:?}");
        true
    }

    #[test]
    fn symbolic_counts_are_those_of_every_size() {
        let [s, t] = [0, 1].map(|index| Dim::symbol(Symbol(index)));
        let mut positions: Vec<Dim> = (-4..=4).map(Dim::number).collect();
        positions.extend([1 << 40, i64::MAX, i64::MIN, -100].map(Dim::number));
        positions.extend([s.clone(), t.clone(), &s - &Dim::from(1), &t - &s, &Dim::from(1) - &t]);
        let (mut held, mut all) = (0, 0);
        for size in [s.clone(), Dim::from(3), &s + &t, s.floor_div(&Dim::from(2))] {
            for (start, end) in positions.iter().flat_map(|start| positions.iter().map(move |end| (start, end))) {
                for step in [1, 2, 3, -1, -2, i64::MIN] {
                    let part = Part { axis: 0, start: start.clone(), end: end.clone(), step };
                    for sizes in [[0, 0], [0, 2], [1, 0], [1, 1], [2, 1], [3, 5], [6, 2], [7, 9]] {
                        held += usize::from(check(&part, &size, &Bindings::of(&sizes)));
                        all += 1;
                    }
                }
            }
        }
        assert!(held * 10 > all * 6, "the conditions hold in {held} of {all}");
    }
}
