//! The angles of rotary positions: their base, and how they are stretched for longer texts.

use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    import::hugging_face::config::{Rotary, RotaryScaling, reader::Reader},
};

/// The settings of all layers' angles; the older name wins, as in transformers.
pub(super) fn parameters(reader: &Reader) -> Option<Map<String, Value>> {
    let newer = reader.object("rope_parameters");
    reader.object("rope_scaling").or(newer)
}

/// The angles that `parameters` describes; the base may stand in one of the older settings `older`.
///
/// `most` is the number of positions that the model has.
pub(super) fn read(
    reader: &Reader,
    parameters: Option<&Map<String, Value>>,
    older: &[&str],
    default: f64,
    most: usize,
) -> Result<Rotary> {
    let mut base =
        older.iter().map(|name| reader.number(name, f64::NAN)).find(|base| !base.is_nan()).unwrap_or(default);
    let mut kind = "default";
    let mut numbers = Map::new();
    for (name, value) in parameters.into_iter().flatten() {
        match (name.as_str(), value) {
            ("rope_theta", value) if value.is_number() => base = value.as_f64().unwrap_or(f64::NAN),
            ("rope_type" | "type", Value::String(own)) => kind = own,
            (_, Value::Null) => {}
            ("partial_rotary_factor", value) if value.as_f64() == Some(1.0) => {}
            (_, value) => drop(numbers.insert(name.clone(), value.clone())),
        }
    }
    if !(base.is_finite() && base > 1.0) {
        reader.problem(format!("the base of the rotary angles is {base}"));
    }
    let mut numbers = Numbers { numbers, problem: None };
    let scaling = match kind {
        "default" => RotaryScaling::None,
        "linear" => RotaryScaling::Linear { factor: numbers.take("factor", None) },
        // Texts of more positions are truncated.
        "dynamic" => {
            numbers.take("factor", Some(1.0));
            RotaryScaling::Dynamic
        }
        "llama3" => RotaryScaling::Llama3 {
            factor: numbers.take("factor", None),
            low: numbers.take("low_freq_factor", None),
            high: numbers.take("high_freq_factor", None),
            original: numbers.take("original_max_position_embeddings", Some(most as f64)),
        },
        "yarn" => yarn(&mut numbers, most),
        other => return Err(Error::unsupported(format!("rotary positions of the type `{other}`"))),
    };
    if kind == "dynamic" {
        // The same number stands in the model's positions.
        numbers.numbers.remove("original_max_position_embeddings");
    }
    if let Some((name, value)) = numbers.numbers.iter().next() {
        return Err(Error::unsupported(format!("rotary positions of the type `{kind}` with {name} {value}")));
    }
    if let RotaryScaling::Llama3 { low, high, .. } = scaling
        && low >= high
    {
        numbers.problem = Some(format!("low_freq_factor {low} is not below high_freq_factor {high}"));
    }
    if let Some(problem) = numbers.problem {
        reader.problem(problem);
    }
    Ok(Rotary { base, scaling })
}

fn yarn(numbers: &mut Numbers, most: usize) -> RotaryScaling {
    let original = numbers.take("original_max_position_embeddings", Some(most as f64));
    let factor = numbers.take("factor", Some(most as f64 / original));
    let scaled = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let scales = ["mscale", "mscale_all_dim"].map(|name| numbers.optional(name).filter(|scale| *scale != 0.0));
    let attention = numbers.optional("attention_factor").unwrap_or(match scales {
        [Some(own), Some(all)] => scaled(own) / scaled(all),
        _ => scaled(1.0),
    });
    let rotations = [("beta_fast", 32.0), ("beta_slow", 1.0)].map(|(name, default)| numbers.take(name, Some(default)));
    let truncated = numbers.numbers.remove("truncate").is_none_or(|value| value != Value::Bool(false));
    RotaryScaling::Yarn { factor, attention, rotations, original, truncated }
}

/// Positive numbers, taken by name.
struct Numbers {
    numbers: Map<String, Value>,
    problem: Option<String>,
}

impl Numbers {
    fn optional(&mut self, name: &str) -> Option<f64> {
        let value = self.numbers.remove(name)?;
        let number = value.as_f64().filter(|number| number.is_finite() && (0.0..=1e9).contains(number));
        if number.is_none() {
            self.problem = Some(format!("{name} of the rotary positions is {value}"));
        }
        number
    }

    fn take(&mut self, name: &str, default: Option<f64>) -> f64 {
        let number = self.optional(name).or(default).filter(|number| *number > 0.0);
        number.unwrap_or_else(|| {
            let missing = || format!("{name} of the rotary positions is missing or not above 0");
            self.problem.get_or_insert_with(missing);
            1.0
        })
    }
}
