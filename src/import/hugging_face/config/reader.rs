//! Settings, read from a JSON object one by one.

use std::{cell::RefCell, collections::BTreeMap, ops::RangeInclusive};

use serde_json::Value;

use crate::{
    error::{Error, Result},
    import::hugging_face::problems::Problems,
};

/// Takes settings out of a JSON object; what remains was not read.
pub(in crate::import::hugging_face) struct Reader {
    fields: RefCell<BTreeMap<String, Value>>,
    problems: RefCell<Problems>,
}

impl Reader {
    pub(in crate::import::hugging_face) fn new(fields: BTreeMap<String, Value>) -> Self {
        Self { fields: RefCell::new(fields), problems: RefCell::default() }
    }

    /// An error that begins with `what` if there were problems so far.
    pub(in crate::import::hugging_face) fn checked(&self, what: &str) -> Result<()> {
        self.problems.take().finish(what)
    }

    /// The settings that were not read; an error that begins with `what` if there were problems.
    pub(in crate::import::hugging_face) fn finish(self, what: &str) -> Result<BTreeMap<String, Value>> {
        self.problems.into_inner().finish(what)?;
        Ok(self.fields.into_inner())
    }

    pub(super) fn problem(&self, problem: String) {
        self.problems.borrow_mut().add(|| problem);
    }

    /// A setting of any kind, unless it is absent or null.
    #[cfg(feature = "vision")]
    pub(in crate::import::hugging_face) fn value(&self, name: &str) -> Option<Value> {
        self.take(name)
    }

    fn take(&self, name: &str) -> Option<Value> {
        self.fields.borrow_mut().remove(name).filter(|value| !value.is_null())
    }

    /// A size within `bounds`; otherwise a problem and the lower bound.
    pub(in crate::import::hugging_face) fn size(
        &self,
        name: &str,
        bounds: RangeInclusive<usize>,
        default: Option<usize>,
    ) -> usize {
        let least = *bounds.start();
        let Some(value) = self.take(name) else {
            return default.unwrap_or_else(|| {
                self.problem(format!("{name} is missing"));
                least
            });
        };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| bounds.contains(size)).unwrap_or_else(|| {
            self.problem(format!("{name} is {} where {least} to {} is allowed", shortened(&value), bounds.end()));
            least
        })
    }

    /// A size of at most `most`, if there is one.
    pub(in crate::import::hugging_face) fn optional_size(&self, name: &str, most: usize) -> Option<usize> {
        self.has(name).then(|| self.size(name, 0..=most, None))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.borrow().get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether a setting is the text `value`; does not take it.
    pub(super) fn is_text(&self, name: &str, value: &str) -> bool {
        self.fields.borrow().get(name).and_then(Value::as_str) == Some(value)
    }

    pub(in crate::import::hugging_face) fn number(&self, name: &str, default: f64) -> f64 {
        let Some(value) = self.take(name) else { return default };
        value.as_f64().unwrap_or_else(|| {
            self.problem(format!("{name} is {}", shortened(&value)));
            default
        })
    }

    pub(in crate::import::hugging_face) fn text(&self, name: &str, default: Option<&str>) -> String {
        match self.take(name) {
            None => default.unwrap_or_default().to_owned(),
            Some(Value::String(text)) => text,
            Some(value) => {
                self.problem(format!("{name} is {}", shortened(&value)));
                default.unwrap_or_default().to_owned()
            }
        }
    }

    /// Gives a setting another name, unless a setting has it already.
    pub(super) fn rename(&self, older: &str, name: &str) {
        if let Some(value) = self.take(older) {
            self.fields.borrow_mut().entry(name.to_owned()).or_insert(value);
        }
    }

    /// Takes a setting that does not matter.
    pub(super) fn ignore(&self, name: &str) {
        self.take(name);
    }

    /// Whether a switch is on.
    pub(in crate::import::hugging_face) fn flag(&self, name: &str, default: bool) -> bool {
        match self.take(name) {
            None => default,
            Some(Value::Bool(on)) => on,
            Some(value) => {
                self.problem(format!("{name} is {}", shortened(&value)));
                default
            }
        }
    }

    /// A list of words, if there is one.
    pub(in crate::import::hugging_face) fn words(&self, name: &str) -> Option<Vec<String>> {
        let value = self.take(name)?;
        let words = value.as_array().and_then(|all| all.iter().map(|word| word.as_str().map(str::to_owned)).collect());
        if words.is_none() {
            self.problem(format!("{name} is {}", shortened(&value)));
        }
        words
    }

    /// A list of whole numbers; none, and nothing taken, if the setting is no list.
    #[cfg(feature = "vision")]
    pub(super) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.fields.borrow().get(name)?.as_array()?;
        let value = self.take(name)?;
        let numbers = value.as_array().and_then(|all| all.iter().map(Value::as_i64).collect());
        if numbers.is_none() {
            self.problem(format!("{name} is {}", shortened(&value)));
        }
        Some(numbers.unwrap_or_default())
    }

    /// A text or a list of texts; none if the setting is absent.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let is_text = self.fields.borrow().get(name).is_some_and(Value::is_string);
        if is_text { vec![self.text(name, None)] } else { self.words(name).unwrap_or_default() }
    }

    /// An object of settings, if there is one.
    pub(in crate::import::hugging_face) fn object(&self, name: &str) -> Option<serde_json::Map<String, Value>> {
        match self.take(name)? {
            Value::Object(fields) => Some(fields),
            value => {
                self.problem(format!("{name} is {}", shortened(&value)));
                None
            }
        }
    }

    /// Refuses a setting that is present with a value other than `allowed`.
    pub(in crate::import::hugging_face) fn refuse_unless(&self, name: &str, allowed: &[Value]) -> Result<()> {
        match self.take(name) {
            Some(value) if !allowed.contains(&value) => {
                Err(Error::unsupported(format!("{name} is {}, which is not built", shortened(&value))))
            }
            _ => Ok(()),
        }
    }
}

/// A value, shortened for a message.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}...", text.chars().take(60).collect::<String>()) } else { text }
}
