//! How a head's numbers become scores.

use std::{str::FromStr, sync::Arc};

use crate::{
    error::{Error, Result},
    import::hugging_face::sentence::activation,
    kernels::Activation,
};

/// How the numbers of a classification head become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// They are the scores.
    Raw,
    /// Each for itself, between 0 and 1.
    Sigmoid,
    /// Together, so that their sum is 1.
    Softmax,
}

impl FromStr for Scores {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "raw" => Ok(Self::Raw),
            "sigmoid" => Ok(Self::Sigmoid),
            "softmax" => Ok(Self::Softmax),
            _ => Err(Error::invalid_input(format!("no scores `{text}`; there are raw, sigmoid and softmax"))),
        }
    }
}

impl Scores {
    /// Turns the numbers of one item into scores.
    pub(crate) fn apply(self, numbers: &mut [f32]) {
        match self {
            Self::Raw => {}
            Self::Sigmoid => {
                numbers.iter_mut().for_each(|number| *number = (1.0 / (1.0 + f64::from(-*number).exp())) as f32);
            }
            Self::Softmax => {
                let most = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let power = |number: f32| (f64::from(number) - f64::from(most)).exp();
                let sum: f64 = numbers.iter().map(|&number| power(number)).sum();
                numbers.iter_mut().for_each(|number| *number = (power(*number) / sum) as f32);
            }
        }
    }
}

/// The name and the score of the class with the highest of `scores`, the first of those.
///
/// # Errors
/// If a score is NaN, or that class has no name.
pub(crate) fn best_class(labels: &[Arc<str>], scores: &[f32]) -> Result<(Arc<str>, f32)> {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return Err(Error::invalid_model("the model gives a score that is no number"));
        }
        if *score > scores[best] {
            best = class;
        }
    }
    match (labels.get(best), scores.get(best)) {
        (Some(label), Some(&score)) => Ok((label.clone(), score)),
        _ => Err(Error::internal("a class without a name")),
    }
}

/// The scores of an activation that sentence-transformers names by its class.
pub(in crate::import::hugging_face) fn of_activation(path: &str) -> Result<Scores> {
    match activation(path)? {
        Activation::None => Ok(Scores::Raw),
        Activation::Sigmoid => Ok(Scores::Sigmoid),
        _ => Err(Error::unsupported(format!("scores by the activation `{path}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let read = |name: &str| name.parse::<Scores>().ok();
        assert_eq!(["raw", "sigmoid", "softmax"].map(read), [Scores::Raw, Scores::Sigmoid, Scores::Softmax].map(Some));
        assert!("none".parse::<Scores>().unwrap_err().to_string().contains("there are raw"));
    }

    #[test]
    fn scores_of_large_numbers_are_finite() {
        let scores = |scores: Scores, numbers: &[f32]| {
            let mut numbers = numbers.to_vec();
            scores.apply(&mut numbers);
            numbers
        };
        assert_eq!(scores(Scores::Raw, &[-3.0, 900.0]), [-3.0, 900.0]);
        assert_eq!(scores(Scores::Sigmoid, &[-900.0, 0.0, 900.0]), [0.0, 0.5, 1.0]);
        assert_eq!(scores(Scores::Softmax, &[-900.0, 900.0]), [0.0, 1.0]);
        assert_eq!(scores(Scores::Softmax, &[3e38, 3e38]), [0.5, 0.5]);
        assert!(scores(Scores::Softmax, &[f32::NAN, 0.0])[0].is_nan());
    }
}
