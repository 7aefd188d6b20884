//! Ranges cut into spans.

use std::ops::Range;

/// Iterator over consecutive spans of a range.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    left: Range<usize>,
    span: usize,
    /// How many of the remaining spans are longer by one.
    longer: usize,
}

impl Spans {
    /// Spans of `span` each; the last one may be shorter.
    pub(crate) fn new(range: Range<usize>, span: usize) -> Self {
        Self { left: range, span, longer: 0 }
    }

    /// The fewest spans of at most `most` whose lengths differ by at most one.
    pub(crate) fn even(range: Range<usize>, most: usize) -> Self {
        let count = range.len().div_ceil(most).max(1);
        let (span, longer) = ((range.len() / count).max(1), range.len() % count);
        Self { left: range, span, longer }
    }
}

impl Iterator for Spans {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.left.is_empty() {
            return None;
        }
        let longer = usize::from(self.longer > 0);
        self.longer -= longer;
        let start = self.left.start;
        self.left.start = (start + self.span + longer).min(self.left.end);
        Some(start..self.left.start)
    }
}
