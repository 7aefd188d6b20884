//! A model's inputs and outputs as columns: names, types and the shapes of rows.

use std::sync::Arc;

use gristmill::{DType, Error, Fact, Result, Tensor};

/// What is known of a model's input or output.
pub(super) struct Named {
    pub name: Arc<str>,
    pub dtype: DType,
    /// Its first size and those behind it, `None` for one that varies.
    pub first: Option<usize>,
    pub sizes: Vec<Option<usize>>,
    pub rank: usize,
}

impl Named {
    pub(super) fn of((name, fact): (&str, &Fact)) -> Self {
        let dims = fact.shape.dims();
        let mut sizes = dims.iter().map(|dim| dim.as_fixed().and_then(|size| usize::try_from(size).ok()));
        let first = sizes.next().flatten();
        Self { name: name.into(), dtype: fact.dtype, first, sizes: sizes.collect(), rank: dims.len() }
    }

    /// The shape of `rows` rows for the model, of which a row of the column has the shape `row`.
    ///
    /// Where the model wants other axes, a row is reshaped to its sizes if they are fixed and of as many elements, and
    /// gets axes of one element otherwise.
    pub(super) fn shape(&self, rows: usize, row: &[usize]) -> Vec<usize> {
        if self.rank == row.len() && rows == 1 && self.rank > 0 {
            return row.to_vec();
        }
        let known: Option<Vec<usize>> = self.sizes.iter().copied().collect();
        let row = match known {
            Some(known) if known.iter().product::<usize>() == row.iter().product::<usize>() => known,
            None if row.is_empty() => vec![1; self.sizes.len()],
            _ => row.to_vec(),
        };
        [&[rows], &row[..]].concat()
    }
}

/// The shape of a row of an output.
pub(super) fn row_of<'t>(named: &Named, tensor: &'t Tensor, rows: usize, joins: bool) -> Result<&'t [usize]> {
    match tensor.shape() {
        [first, row @ ..] if *first == rows => Ok(row),
        shape if !joins => Ok(shape),
        shape => Err(Error::invalid_input(format!(
            "output `{}` has the shape {shape:?} for {rows} rows, so that no row of it is known",
            named.name
        ))),
    }
}
