//! What a step reports: lines of JSON on its standard output, one a figure.

use std::io::{self, Write};

use serde_json::{Value, json};

/// Reports the value of a cell of a table.
pub fn cell(table: &str, row: &str, column: &str, value: impl Into<Value>) {
    print(&json!({"table": table, "row": row, "column": column, "value": rounded(value.into())}));
}

/// Reports a sentence.
pub fn note(text: impl Into<String>) {
    print(&json!({"note": text.into()}));
}

/// A lost reader is no reason to stop.
fn print(line: &Value) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Numbers to four significant digits.
fn rounded(value: Value) -> Value {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) if number.is_finite() && number != 0.0 => {
            let scale = 10f64.powi(3 - number.abs().log10().floor() as i32);
            json!((number * scale).round() / scale)
        }
        _ => value,
    }
}

/// The figure in a line of a step's output, if it is one.
pub fn of_line(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    let is_figure =
        value.get("note").is_some() || ["table", "row", "column", "value"].iter().all(|key| value.get(key).is_some());
    is_figure.then_some(value)
}
