//! The members of a line that is a JSON object.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// The most fields of an object that is read.
const MOST_FIELDS: usize = 4096;

/// The deepest nesting of JSON that is read.
const DEEPEST: usize = 128;

/// The members of a JSON object, their values as they are written.
#[derive(Debug)]
pub(in crate::files) struct Members<'r>(pub(in crate::files) Vec<(String, &'r RawValue)>);

impl<'r> Members<'r> {
    /// Reads a line that must be one JSON object.
    pub(in crate::files) fn of(line: &'r str) -> Result<Self> {
        check_depth(line)?;
        let mut reader = serde_json::Deserializer::from_str(line);
        let not_json = |error| Error::invalid_input(format!("not JSON: {error}"));
        let members = reader.deserialize_map(ReadMembers).map_err(not_json)?;
        reader.end().map_err(not_json)?;
        Ok(members)
    }

    /// The text of a field, or the JSON of another value.
    #[cfg(feature = "parquet")]
    pub(in crate::files) fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name).filter(|value| value.get() != "null")?;
        serde_json::from_str::<String>(value.get()).ok().or_else(|| Some(value.get().to_owned()))
    }

    pub(in crate::files) fn get(&self, name: &str) -> Option<&'r RawValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }
}

struct ReadMembers;

impl<'r> Visitor<'r> for ReadMembers {
    type Value = Members<'r>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<Members<'r>, A::Error> {
        let mut members: Vec<(String, &RawValue)> = Vec::new();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if members.iter().any(|(other, _)| *other == name) {
                return Err(serde::de::Error::custom(format_args!("the field `{name}` occurs twice")));
            }
            if members.len() == MOST_FIELDS {
                return Err(serde::de::Error::custom(format_args!("an object of more than {MOST_FIELDS} fields")));
            }
            members.push((name.into_owned(), map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// Refuses JSON whose lists and objects are nested too deep for those who will read the output.
fn check_depth(line: &str) -> Result<()> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in line.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEEPEST {
                    return Err(Error::limit(format!("JSON is nested deeper than {DEEPEST} levels")));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Adds the numbers of a number, or of lists of them; `None` for anything else.
pub(in crate::files) fn flatten(value: &serde_json::Value, numbers: &mut Vec<f64>) -> Option<()> {
    match value {
        serde_json::Value::Array(values) => values.iter().try_for_each(|value| flatten(value, numbers)),
        other => other.as_f64().map(|number| numbers.push(number)),
    }
}

/// What a value is, for messages.
pub(in crate::files) fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "a text",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}
