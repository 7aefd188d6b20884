//! The results as a page.

use std::fmt::Write;

use serde_json::Value;

/// The page of a trip's results.
pub fn of(whole: &Value) -> String {
    let mut page = String::from("# A card, measured\n\n");
    let tiny = if whole["tiny"] == true { " A rehearsal: the shapes are tiny and the times mean nothing." } else { "" };
    let seconds = whole["seconds"].as_f64().unwrap_or(0.0);
    let _ = writeln!(page, "{seconds:.0} seconds in all.{tiny}\n\n| step | state | seconds |\n|---|---|---:|");
    let steps = whole["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    for step in steps {
        let seconds = step["seconds"].as_f64().unwrap_or(0.0);
        let _ = writeln!(page, "| {} | {} | {seconds:.1} |", text(&step["name"]), text(&step["state"]));
    }
    for step in steps {
        let _ = writeln!(page, "\n## {}\n", text(&step["title"]));
        if step["state"] != "ok" {
            let _ = writeln!(page, "This step {}.\n", of_state(&text(&step["state"])));
        }
        figures(&mut page, step["figures"].as_array().map(Vec::as_slice).unwrap_or_default());
        for kind in ["text", "errors"] {
            if let Some(lines) = step[kind].as_array() {
                let lines: Vec<String> = lines.iter().map(text).collect();
                let _ = writeln!(page, "```text\n{}\n```\n", lines.join("\n").replace("```", "'''"));
            }
        }
    }
    page
}

fn of_state(state: &str) -> String {
    let is_verb = ["failed", "crashed"].iter().any(|verb| state.starts_with(verb));
    if is_verb { state.to_owned() } else { format!("was {state}") }
}

/// The tables of a step, in the order in which they began, and its notes.
fn figures(page: &mut String, figures: &[Value]) {
    for name in distinct(figures, "table", |_| true) {
        let of_table = |figure: &&Value| figure["table"] == name.as_str();
        let cells: Vec<&Value> = figures.iter().filter(of_table).collect();
        let columns = distinct(figures, "column", |figure| of_table(&figure));
        let _ = writeln!(page, "| {name} | {} |\n|---|{}", columns.join(" | "), "---:|".repeat(columns.len()));
        for row in distinct(figures, "row", |figure| of_table(&figure)) {
            let value = |column: &String| {
                let found =
                    cells.iter().rev().find(|cell| cell["row"] == row.as_str() && cell["column"] == column.as_str());
                found.map_or_else(String::new, |cell| text(&cell["value"]))
            };
            let values: Vec<String> = columns.iter().map(value).collect();
            let _ = writeln!(page, "| {row} | {} |", values.join(" | "));
        }
        page.push('\n');
    }
    for note in figures.iter().filter_map(|figure| figure["note"].as_str()) {
        let _ = writeln!(page, "* {}", note.replace('\n', " "));
    }
}

/// The different values of a field, in order.
fn distinct(figures: &[Value], field: &str, which: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for figure in figures.iter().filter(|figure| which(figure)) {
        if let Some(value) = figure[field].as_str()
            && !all.iter().any(|own| own == value)
        {
            all.push(value.to_owned());
        }
    }
    all
}

/// A value in a cell.
fn text(value: &Value) -> String {
    let text =
        value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned);
    text.replace('|', "\\|")
}
