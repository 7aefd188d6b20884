//! Comparison of the results of several devices on the same inputs.
//!
//! [`verify`] takes one device as the reference, and so cannot see a fault that all devices share,
//! such as an operator that is read wrongly from the file. [`verify_against`] compares with results
//! from elsewhere.

use crate::{
    backend::Session,
    error::{Error, Result},
    inference::{Description, Inference, Slots},
    tensor::{DType, Tensor, Tensors, cosine},
};

/// The distance of one output from the reference's, over all items.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// The device, as the session describes it.
    pub device: String,
    /// The CPU kernel set, or the language of a GPU's kernels.
    pub kernel_set: String,
    /// The precision.
    pub precision: String,
    /// The output's name.
    pub output: String,
    /// The largest difference of two elements; infinite if only one of them is NaN.
    pub absolute: f64,
    /// The largest difference relative to the reference's magnitude.
    ///
    /// Only elements above a thousandth of their item's largest one count.
    pub relative: f64,
    /// The least cosine of an item's two outputs as vectors.
    ///
    /// It is 1 if both are zero and 0 if one is; -1 if an infinity or NaN stands in one of them only.
    pub cosine: f64,
}

impl Comparison {
    /// Compares the outputs of items, one comparison for each output.
    ///
    /// `results` are those of the session that `description` describes, `expected` those of the reference.
    ///
    /// # Errors
    /// If the numbers of items, the outputs, or their types or shapes differ.
    pub fn of(description: &Description, expected: &[Tensors], results: &[Tensors]) -> Result<Vec<Self>> {
        if expected.len() != results.len() {
            let (got, want) = (results.len(), expected.len());
            return Err(Error::invalid_input(format!("the results of {got} items are compared with those of {want}")));
        }
        let mut comparisons: Vec<Self> = Vec::new();
        for (results, expected) in results.iter().zip(expected) {
            for (name, want) in expected.iter() {
                let got = results.get(name);
                let got = got.ok_or_else(|| Error::invalid_input(format!("a session has no output `{name}`")))?;
                let [absolute, relative, cosine] = compare(got, want)?;
                if let Some(own) = comparisons.iter_mut().find(|own| own.output == name) {
                    own.absolute = own.absolute.max(absolute);
                    own.relative = own.relative.max(relative);
                    own.cosine = own.cosine.min(cosine);
                    continue;
                }
                comparisons.push(Self {
                    device: description.device.clone(),
                    kernel_set: description.kernel_set.clone(),
                    precision: description.precision.clone(),
                    output: name.to_owned(),
                    absolute,
                    relative,
                    cosine,
                });
            }
        }
        Ok(comparisons)
    }

    /// Whether the cosine and one of the two differences are within the bounds.
    pub fn is_within(&self, absolute: f64, relative: f64, cosine: f64) -> bool {
        (self.absolute <= absolute || self.relative <= relative) && self.cosine >= cosine
    }
}

/// Maximum number of items in a chunk.
const CHUNK: usize = 32;

/// Runs the same items on a reference and on other sessions of the model, and compares each output.
///
/// # Errors
/// If a run fails, or the sessions do not have the same outputs.
pub fn verify<'a>(
    reference: &Session,
    others: impl IntoIterator<Item = &'a Session>,
    items: &[Tensors],
) -> Result<Vec<Comparison>> {
    verify_against(&run(reference, items)?, others, items)
}

/// Runs items on sessions of a model, and compares each output with expected ones.
///
/// `expected` has the outputs of each item, as another program computed them.
///
/// # Errors
/// If a run fails, or a session lacks an output.
pub fn verify_against<'a>(
    expected: &[Tensors],
    sessions: impl IntoIterator<Item = &'a Session>,
    items: &[Tensors],
) -> Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for session in sessions {
        let results = run(session, items)?;
        comparisons.extend(Comparison::of(&session.describe(), expected, &results)?);
    }
    Ok(comparisons)
}

/// Runs the items in chunks.
fn run(session: &Session, items: &[Tensors]) -> Result<Vec<Tensors>> {
    let mut all = Vec::with_capacity(items.len());
    for items in items.chunks(CHUNK) {
        let items: Vec<&Tensors> = items.iter().collect();
        let mut results: Vec<Option<Result<Tensors>>> = Vec::new();
        results.resize_with(items.len(), || None);
        session.infer(&items, &mut Slots::new(&mut results))?;
        for result in results {
            all.push(result.unwrap_or_else(|| Err(Error::internal("a session passed an item over")))?);
        }
    }
    Ok(all)
}

/// Returns the largest absolute and relative difference, and the cosine.
fn compare(got: &Tensor, want: &Tensor) -> Result<[f64; 3]> {
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        return Err(Error::invalid_input(format!("{got:?} is compared with {want:?}")));
    }
    let (got, want) = (numbers(got)?, numbers(want)?);
    let largest = want.iter().filter(|value| value.is_finite()).fold(0f64, |most, value| most.max(value.abs()));
    let (mut absolute, mut relative) = (0f64, 0f64);
    for (&got, &want) in got.iter().zip(&want) {
        let same = got == want || (got.is_nan() && want.is_nan());
        let distance = if same { 0.0 } else { (got - want).abs() };
        let distance = if distance.is_nan() { f64::INFINITY } else { distance };
        absolute = absolute.max(distance);
        if want.abs() > largest / 1000.0 {
            relative = relative.max(distance / want.abs());
        }
    }
    Ok([absolute, relative, cosine(got.iter().copied(), want.iter().copied())])
}

/// The elements of a tensor as f64.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    match tensor.dtype() {
        DType::F32 => Ok(tensor.as_slice::<f32>()?.iter().map(|&value| f64::from(value)).collect()),
        DType::F64 => Ok(tensor.as_slice::<f64>()?.to_vec()),
        dtype if dtype.is_float() => Err(Error::unsupported(format!("outputs of type {dtype} are not compared"))),
        DType::String => Err(Error::unsupported("outputs of strings are not compared")),
        _ => Ok(tensor.to_i64()?.into_iter().map(|value| value as f64).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Tensor {
        Tensor::new([values.len()], values).unwrap()
    }

    #[test]
    fn differences_are_measured() {
        let [absolute, relative, cosine] = compare(&of(&[1.0, 2.5]), &of(&[1.0, 2.0])).unwrap();
        assert!((absolute - 0.5).abs() < 1e-12 && (relative - 0.25).abs() < 1e-12);
        assert!((cosine - 6.0 / (7.25f64 * 5.0).sqrt()).abs() < 1e-12);
        assert_eq!(compare(&of(&[0.0]), &of(&[0.0])).unwrap(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_worst_item_counts() {
        let items = |values: [f32; 2]| values.map(|value| Tensors::from([("y", of(&[1.0, value]))]));
        let description = Description::default();
        let all = Comparison::of(&description, &items([1.0, 2.0]), &items([1.5, 2.0])).unwrap();
        assert_eq!((all.len(), all[0].absolute, all[0].relative), (1, 0.5, 0.5));
        assert!(all[0].cosine < 0.99 && !all[0].is_within(1.0, 1.0, 0.99) && all[0].is_within(0.1, 0.6, 0.9));
        assert!(Comparison::of(&description, &items([1.0, 2.0]), &items([1.0, 2.0])[..1]).is_err());
    }

    #[test]
    fn a_nan_in_one_output_shows() {
        let [absolute, ..] = compare(&of(&[f32::NAN, 1.0]), &of(&[1.0, 1.0])).unwrap();
        assert_eq!(absolute, f64::INFINITY);
        let [absolute, ..] = compare(&of(&[f32::NAN, 1.0]), &of(&[f32::NAN, 1.0])).unwrap();
        assert_eq!(absolute, 0.0);
        assert!(compare(&of(&[1.0]), &of(&[1.0, 2.0])).is_err());
    }
}
