//! Sequences laid one behind another without padding, and where each begins.

use crate::{
    error::{Error, Result},
    graph::Fact,
    shape::Dim,
    tensor::DType,
};

/// The number of sequences, from the `[sequences + 1]` i32 offsets of their first rows, the end last.
///
/// # Errors
/// When the offsets are of another type or shape.
pub(super) fn sequences(offsets: &Fact) -> Result<Dim> {
    match offsets.shape.dims() {
        [length] if offsets.dtype == DType::I32 && length.as_fixed() != Some(0) => Ok(length - &Dim::from(1)),
        _ => Err(Error::invalid_model(format!("offsets {offsets}: expected i32[sequences + 1]"))),
    }
}

/// Refuses offsets that do not cut `rows` rows into sequences: from 0, ascending, to `rows`.
///
/// # Errors
/// Names the first offset that is wrong.
pub(super) fn check(offsets: &[i32], rows: usize) -> Result<()> {
    let wrong = |index: usize| {
        let value = offsets.get(index).copied().unwrap_or_default();
        Error::invalid_input(format!("offset {index} is {value}: offsets begin with 0, ascend and end with {rows}"))
    };
    if offsets.first() != Some(&0) {
        return Err(wrong(0));
    }
    if let Some(index) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(wrong(index + 1));
    }
    match offsets.last() {
        Some(&last) if usize::try_from(last) == Ok(rows) => Ok(()),
        _ => Err(wrong(offsets.len() - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn wrong_offsets_are_refused() {
        assert!(check(&[0, 2, 2, 5], 5).is_ok());
        assert!(check(&[0], 0).is_ok());
        let wrong: [(&[i32], usize, &str); 6] = [
            (&[], 0, "offset 0"),
            (&[1, 5], 5, "offset 0 is 1"),
            (&[0, 3, 2, 5], 5, "offset 2 is 2"),
            (&[0, -1, 5], 5, "offset 1 is -1"),
            (&[0, 4], 5, "offset 1 is 4"),
            (&[0, 6], 5, "offset 1 is 6"),
        ];
        for (offsets, rows, named) in wrong {
            let message = check(offsets, rows).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
