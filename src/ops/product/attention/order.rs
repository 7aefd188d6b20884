//! The order of the axes of queries, keys, values and results.

use crate::kernels::attention::HeadsView;

/// The order of the middle axes of queries, keys, values and results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `[batch, heads, rows, columns]`
    HeadsFirst,
    /// `[batch, rows, heads, columns]`
    HeadsLast,
}

impl Order {
    /// `[batch, heads, rows, columns]` of sizes in this order, and back.
    pub(super) fn heads_first<T: Clone>(self, sizes: &[T]) -> Option<[T; 4]> {
        let [batch, second, third, columns] = sizes else { return None };
        let (heads, rows) = if self == Self::HeadsFirst { (second, third) } else { (third, second) };
        Some([batch, heads, rows, columns].map(T::clone))
    }

    /// The strides of items, heads and rows of a dense tensor.
    pub(super) fn strides(self, heads: usize, rows: usize, columns: usize) -> [usize; 3] {
        match self {
            Self::HeadsFirst => [heads * rows * columns, rows * columns, columns],
            Self::HeadsLast => [heads * rows * columns, columns, heads * columns],
        }
    }

    /// The view of a dense tensor.
    pub(super) fn view(self, data: &[f32], heads: usize, rows: usize, columns: usize) -> HeadsView<'_> {
        let [batch_stride, head_stride, row_stride] = self.strides(heads, rows, columns);
        HeadsView { data, batch_stride, head_stride, row_stride }
    }
}
