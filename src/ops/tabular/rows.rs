//! Tables as operands: rows of features.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels,
    op::{Inputs, Shapes},
    shape::Dim,
    tensor::{DType, View, ViewMut},
};

/// The rows and columns of a table; a vector is one row.
pub(super) fn table(fact: &Fact) -> Result<(Dim, Dim)> {
    match fact.shape.dims() {
        [columns] => Ok((Dim::from(1), columns.clone())),
        [rows, columns] => Ok((rows.clone(), columns.clone())),
        dims => Err(Error::invalid_model(format!("expected rows of features, found {} dimensions", dims.len()))),
    }
}

/// The rows and columns of a table in a run.
pub(super) fn sizes(shape: &[usize]) -> (usize, usize) {
    match *shape {
        [rows, columns] => (rows, columns),
        _ => (1, shape.iter().product()),
    }
}

/// Refuses an operand that is no table of numbers.
pub(super) fn check_numbers(fact: &Fact) -> Result<()> {
    match fact.dtype {
        DType::F32 | DType::F64 | DType::I32 | DType::I64 => Ok(()),
        other => Err(Error::invalid_model(format!("expected f32, f64, i32 or i64, found {other}"))),
    }
}

/// The number of rows of the one operand, a table of numbers with that many columns.
pub(super) fn counted(inputs: &Inputs<'_>, expected: usize) -> Result<Dim> {
    inputs.expect(1, 1)?;
    let input = inputs.required(0)?;
    check_numbers(input)?;
    let (count, columns) = table(input)?;
    check_columns(&columns, expected)?;
    Ok(count)
}

/// Refuses a number of columns other than `columns`, where it is known.
pub(super) fn check_columns(columns: &Dim, expected: usize) -> Result<()> {
    match columns.as_fixed() {
        Some(own) if own != expected as i64 => Err(unlike(own, expected)),
        _ => Ok(()),
    }
}

/// As [`check_columns`], in a run.
pub(super) fn expect_columns(columns: usize, expected: usize) -> Result<()> {
    if columns == expected { Ok(()) } else { Err(unlike(columns as i64, expected)) }
}

#[cold]
fn unlike(columns: i64, expected: usize) -> Error {
    Error::invalid_input(format!("rows of {columns} features, where the model has {expected}"))
}

/// The batch axes of `results` tables or lists of rows; items are rows of a matrix.
pub(super) fn batch_axes(inputs: &Inputs<'_>, axes: &[Option<usize>], results: usize) -> Option<Vec<Option<usize>>> {
    let is_matrix = inputs.fact(0)?.shape.rank() == 2;
    (is_matrix && axes[0] == Some(0)).then(|| vec![Some(0); results])
}

/// The bytes of [`convert`]ed operand 0.
pub(super) fn converted_bytes(shapes: &Shapes<'_>, from: DType, to: DType) -> usize {
    let elements = shapes.inputs.first().copied().flatten().map_or(0, |shape| shape.iter().product::<usize>());
    if from == to { 0 } else { elements.saturating_mul(to.size()).next_multiple_of(64) }
}

/// A view in another type, in `scratch` of [`converted_bytes`] unless it is of that type already.
pub(super) fn convert<'a>(view: View<'a>, to: DType, scratch: &'a mut [u8]) -> Result<View<'a>> {
    if view.dtype == to {
        return Ok(view);
    }
    let bytes = view.shape.iter().product::<usize>() * to.size();
    let short = || Error::internal("a kernel has too little scratch");
    let scratch = scratch.get_mut(..bytes).ok_or_else(short)?;
    let mut converted = ViewMut { dtype: to, shape: view.shape, bytes: scratch };
    kernels::cast(view, &mut converted)?;
    Ok(View { dtype: to, shape: view.shape, bytes: scratch })
}
