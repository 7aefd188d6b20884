//! Chains over short rows, as those of channels are.

use smallvec::SmallVec;

use crate::ops::pointwise::chain::BLOCK;

/// A result of short rows, some of whose operands are one row for all rows, or for those of an item.
pub(super) struct Rows<'a> {
    /// Elements of a row.
    pub(super) columns: usize,
    /// Elements of an item: of all items together, unless an operand has a row for each.
    pub(super) item: usize,
    /// The operands.
    pub(super) operands: SmallVec<[Part<'a>; 6]>,
}

/// How an operand is repeated.
pub(super) enum Part<'a> {
    /// As many elements as the result has.
    Whole(&'a [f32]),
    /// The same element.
    One(f32),
    /// One row for all items, or for each.
    Rows(&'a [f32]),
}

impl<'a> Rows<'a> {
    /// `None` if an operand is repeated otherwise, or none is a short row.
    pub(super) fn of(output: &[usize], operands: &[&'a [f32]], shapes: &[&[usize]]) -> Option<Self> {
        let (&columns, len) = (output.last()?, output.iter().product::<usize>());
        let (items, short) = (output[0], 2..=BLOCK / 2);
        if len == 0 || !short.contains(&columns) || output.len() < 2 {
            return None;
        }
        let part = |(own, shape): (&&'a [f32], &&[usize])| {
            let row = shape.last() == Some(&columns);
            let of_items = shape.len() == output.len() && shape[0] == items && own.len() == items * columns;
            match own.len() {
                1 => Some(Part::One(own[0])),
                own_len if own_len == len => Some(Part::Whole(own)),
                own_len if row && (own_len == columns || of_items) => Some(Part::Rows(own)),
                _ => None,
            }
        };
        let operands: SmallVec<[Part<'a>; 6]> = operands.iter().zip(shapes).map(part).collect::<Option<_>>()?;
        let rows = |part: &Part<'_>| if let Part::Rows(rows) = part { rows.len() } else { 0 };
        let longest = operands.iter().map(rows).max()?;
        let item = if longest > columns { len / items } else { len };
        (longest > 0).then_some(Self { columns, item, operands })
    }

    /// Elements of a block of whole rows.
    pub(super) fn block(&self) -> usize {
        BLOCK / self.columns * self.columns
    }
}
