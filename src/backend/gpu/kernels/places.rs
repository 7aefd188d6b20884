//! What the kernels share whose indices name places: lines of shaders and columns of words.

use std::fmt::Write;

use crate::{
    backend::gpu::recorder::word,
    error::{Error, Result},
};

/// The most axes that the shaders have words for.
pub(super) const MAX_AXES: usize = 8;

pub(super) const TOO_MANY_AXES: &str = "more axes than its shader walks";

/// Lines of a shader, one for each axis.
pub(super) fn lines(axes: usize, line: impl Fn(usize) -> String) -> Result<String> {
    let mut text = String::new();
    for axis in 0..axes {
        writeln!(text, "{}", line(axis)).map_err(|error| Error::internal(error.to_string()))?;
    }
    Ok(text)
}

/// Numbers as a column of words, from the last to the first where `turned`.
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

/// Data that is empty has no element for an index to pick.
pub(super) fn refuse_empty(data: &[usize], picked: usize) -> Result<()> {
    if picked > 0 && data.contains(&0) {
        return Err(Error::invalid_input(format!("{picked} elements are picked from data of shape {data:?}")));
    }
    Ok(())
}
