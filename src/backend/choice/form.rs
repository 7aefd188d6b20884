//! One form of a model, and the comparison of two forms on a sample of inputs.

use crate::{
    backend::{
        device::{DeviceSession, Engine},
        options::Precision,
    },
    tensor::{DType, Tensor, Tensors, cosine},
};

/// A model loaded on one device in one precision.
pub(crate) struct Form {
    pub(crate) engine: Engine,
    pub(crate) precision: Precision,
    /// Why this form was chosen, if there was a choice.
    pub(crate) note: Option<String>,
}

/// The outputs of each input of a sample, `None` where an input failed.
pub(crate) type Outcome = Vec<Option<Tensors>>;

/// Runs a sample the given number of times in one go.
pub(crate) type RunSample<'a> = dyn FnMut(&dyn DeviceSession, usize) -> Outcome + 'a;

/// Why two forms cannot be compared.
#[derive(Debug, PartialEq)]
pub(crate) enum Unlike {
    /// One form fails on an input that the other one runs.
    Fails,
    /// Neither form ran any input.
    Nothing,
    /// No output holds floating-point numbers.
    Unjudged,
}

/// The note on a sample of which no input ran.
pub(crate) const NOTHING_RAN: &str = "no input of the sample could be run";

/// Counts the inputs that both forms ran and finds the least cosine between their outputs.
///
/// Only outputs of floating-point numbers are compared.
///
/// # Errors
/// If the forms cannot be compared.
pub(crate) fn compare(exact: &Outcome, rounded: &Outcome) -> Result<(usize, f64), Unlike> {
    let (mut count, mut least, mut judged) = (0, 1.0f64, false);
    for (exact, rounded) in exact.iter().zip(rounded) {
        let (exact, rounded) = match (exact, rounded) {
            (Some(exact), Some(rounded)) => (exact, rounded),
            (None, None) => continue,
            _ => return Err(Unlike::Fails),
        };
        count += 1;
        for ((_, exact), (_, rounded)) in exact.iter().zip(rounded.iter()) {
            if let Some(cosine) = cosine_of(exact, rounded) {
                judged = true;
                least = least.min(cosine);
            }
        }
    }
    match (count, judged) {
        (0, _) => Err(Unlike::Nothing),
        (_, false) => Err(Unlike::Unjudged),
        _ => Ok((count, least)),
    }
}

/// The cosine between two tensors of f32 or f64, `None` for other types.
fn cosine_of(exact: &Tensor, rounded: &Tensor) -> Option<f64> {
    match exact.dtype() {
        DType::F32 => {
            let (exact, rounded) = (exact.as_slice::<f32>().ok()?, rounded.as_slice::<f32>().ok()?);
            Some(cosine(exact.iter().map(|&x| f64::from(x)), rounded.iter().map(|&x| f64::from(x))))
        }
        DType::F64 => {
            let (exact, rounded) = (exact.as_slice::<f64>().ok()?, rounded.as_slice::<f64>().ok()?);
            Some(cosine(exact.iter().copied(), rounded.iter().copied()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(values: &[&[f32]]) -> Outcome {
        let tensors = |values: &&[f32]| {
            Some(Tensors::new().with("y", Tensor::new([values.len()], values).expect("as many as the shape says")))
        };
        values.iter().map(tensors).collect()
    }

    #[test]
    fn the_least_cosine_counts() {
        let (count, least) =
            compare(&outcome(&[&[1.0, 0.0], &[1.0, 1.0]]), &outcome(&[&[2.0, 0.0], &[1.0, 0.0]])).unwrap();
        assert_eq!(count, 2);
        assert!((least - 0.5f64.sqrt()).abs() < 1e-12, "{least}");
        let of = |a: &[f32], b: &[f32]| compare(&outcome(&[a]), &outcome(&[b])).unwrap().1;
        assert_eq!(of(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 1.0]), 0.0);
        assert_eq!(of(&[f32::NAN, 1.0], &[f32::NAN, 1.0]), 1.0);
        assert_eq!(of(&[f32::NAN, 1.0], &[1.0, 1.0]), -1.0);
        assert_eq!(of(&[f32::INFINITY], &[f32::NEG_INFINITY]), -1.0);
    }

    #[test]
    fn forms_that_cannot_be_compared_are_named() {
        let one = outcome(&[&[1.0]]);
        assert_eq!(compare(&vec![None], &vec![None]), Err(Unlike::Nothing));
        assert_eq!(compare(&one, &vec![None]), Err(Unlike::Fails));
        let labels: Outcome = vec![Some(Tensors::new().with("y", Tensor::scalar(3_i64)))];
        assert_eq!(compare(&labels, &labels), Err(Unlike::Unjudged));
    }
}
