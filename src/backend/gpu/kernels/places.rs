//! Parts shared by the kernels that index by tensors: lines of shaders and columns of words.

use std::fmt::Write;

use crate::{
    backend::gpu::recorder::word,
    error::{Error, Result},
};

/// Maximum number of axes, by the immediate data of the shaders.
pub(super) const MAX_AXES: usize = 8;

/// Reason for running on the host.
pub(super) const TOO_MANY_AXES: &str = "more axes than its shader walks";

/// Generates the lines of a shader, one for each axis.
pub(super) fn lines(axes: usize, line: impl Fn(usize) -> String) -> Result<String> {
    let mut text = String::new();
    for axis in 0..axes {
        writeln!(text, "{}", line(axis)).map_err(|error| Error::internal(error.to_string()))?;
    }
    Ok(text)
}

/// Appends numbers as a column of [`MAX_AXES`] words, in reverse order if `turned`.
pub(super) fn column(
    numbers: impl DoubleEndedIterator<Item = usize>,
    turned: bool,
    words: &mut Vec<u32>,
) -> Result<()> {
    let end = words.len() + MAX_AXES;
    let numbers: Vec<usize> = if turned { numbers.rev().collect() } else { numbers.collect() };
    for number in numbers {
        words.push(word(number)?);
    }
    words.resize(end, 1);
    Ok(())
}

/// Refuses to select elements of empty data.
///
/// # Errors
/// If elements are selected and the data is empty.
pub(super) fn refuse_empty(data: &[usize], picked: usize) -> Result<()> {
    if picked > 0 && data.contains(&0) {
        return Err(Error::invalid_input(format!("{picked} elements are picked from data of shape {data:?}")));
    }
    Ok(())
}
