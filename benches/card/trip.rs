//! The whole trip: step after step, written down as it goes.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    Kit, Outcome, figure,
    plan::{Output, Step, steps},
    process::{self, End},
    summary,
};

/// The longest trip.
const WHOLE: Duration = Duration::from_secs(355);
/// Lines that are kept of a step's text and errors.
const MOST_LINES: usize = 2000;

/// Runs all steps; a step that fails is written down, and the next one runs.
pub fn run(kit: &Kit) -> Outcome {
    let started = Instant::now();
    let whole = if kit.tiny { WHOLE * 10 } else { WHOLE };
    let mut results: Vec<Value> = Vec::new();
    let mut adapter = None;
    for step in steps(kit) {
        let left = whole.saturating_sub(started.elapsed());
        let limit = step.limit.min(left);
        let result = if step.needs_adapter && adapter.is_none() {
            skipped(&step, "left out: there is no adapter")
        } else if limit < Duration::from_secs(3) {
            skipped(&step, "left out: there was no time left")
        } else {
            eprintln!("{:>5.1} s  {}", started.elapsed().as_secs_f64(), step.name);
            run_step(kit, &step, limit, adapter.as_deref(), |own| {
                let all: Vec<&Value> = results.iter().chain([own]).collect();
                write(kit, &all, started)
            })
        };
        if step.name == "adapter" {
            adapter = adapter_of(&result);
        }
        let seconds = result["seconds"].as_f64().unwrap_or(0.0);
        eprintln!("         {}: {} ({seconds:.1} s)", step.name, result["state"].as_str().unwrap_or_default());
        results.push(result);
        write(kit, &results.iter().collect::<Vec<_>>(), started);
    }
    eprintln!("{:>5.1} s  done: {}", started.elapsed().as_secs_f64(), kit.folder.join("card.md").display());
    Ok(())
}

fn skipped(step: &Step, why: &str) -> Value {
    json!({"name": step.name, "title": step.title, "state": why, "seconds": 0.0})
}

/// The adapter that the first step names.
fn adapter_of(result: &Value) -> Option<String> {
    let is_chosen = |figure: &&Value| figure["row"] == "adapter to use";
    let chosen = result["figures"].as_array()?.iter().find(is_chosen)?["value"].as_str()?;
    (chosen != "none").then(|| chosen.to_owned())
}

/// Runs one step; `save` writes what it has reported so far.
fn run_step(kit: &Kit, step: &Step, limit: Duration, adapter: Option<&str>, save: impl Fn(&Value)) -> Value {
    let folder = &kit.folder;
    let (program, words) = step.command.split_first().expect("a step has a program");
    let mut command = Command::new(folder.join("bin").join(program));
    command.args(words).current_dir(folder).env("RUST_BACKTRACE", "1").env("GRISTMILL_TEST_DATA", folder.join("data"));
    if program == "card" {
        command.arg(folder).args(kit.tiny.then_some("--tiny"));
    }
    if let Some(adapter) = adapter {
        command.env("GRISTMILL_TEST_ADAPTER", adapter);
    }
    let started = Instant::now();
    let (mut figures, mut text, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let result = |state: String, figures: &[Value], text: &[String], errors: &[String]| {
        let mut result = json!({
            "name": step.name, "title": step.title, "state": state, "seconds": started.elapsed().as_secs_f64(),
            "command": step.command.join(" "), "figures": figures,
        });
        let lists: [(&str, &[String]); 2] = [("text", text), ("errors", errors)];
        let filled = lists.into_iter().filter(|(_, lines)| !lines.is_empty());
        let filled: Map<String, Value> = filled.map(|(name, lines)| (name.to_owned(), json!(lines))).collect();
        result.as_object_mut().expect("made as an object").extend(filled);
        result
    };
    let end = process::run(command, limit, |is_output, line| {
        match figure::of_line(line).filter(|_| is_output && step.output == Output::Figures) {
            Some(figure) => {
                figures.push(figure);
                save(&result("under way".to_owned(), &figures, &text, &errors));
            }
            None if line.trim().is_empty() => {}
            None => {
                let lines = if is_output { &mut text } else { &mut errors };
                lines.push(line.to_owned());
                // The end says why it failed.
                if lines.len() > MOST_LINES {
                    lines.remove(MOST_LINES / 4);
                }
            }
        }
    });
    if step.output == Output::Tests {
        figures.extend(tests(&text));
        text.retain(|line| end != End::Code(0) && !line.ends_with("... ok"));
    }
    // What a step says besides is of use only if it failed.
    if end == End::Code(0) {
        errors.clear();
    }
    result(end.word(), &figures, &text, &errors)
}

/// The counts of a test harness, and the names of the tests that failed.
fn tests(lines: &[String]) -> Vec<Value> {
    let of = |word: &str| -> Vec<&str> {
        let ended = lines.iter().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
        ended.filter(|(_, state)| state.trim() == word).map(|(name, _)| name.trim()).collect()
    };
    let cell = |row: &str, value: Value| json!({"table": "tests", "row": row, "column": "", "value": value});
    let mut figures = vec![cell("passed", of("ok").len().into()), cell("failed", of("FAILED").len().into())];
    figures.extend(of("FAILED").into_iter().map(|name| json!({"note": format!("failed: {name}")})));
    figures
}

/// Writes both files anew, so that each is whole at any time.
fn write(kit: &Kit, results: &[&Value], started: Instant) {
    let whole = json!({
        "kit": env!("CARGO_PKG_VERSION"), "tiny": kit.tiny, "seconds": started.elapsed().as_secs_f64(), "steps": results,
    });
    replace(&kit.folder.join("card.json"), &format!("{whole:#}\n"));
    replace(&kit.folder.join("card.md"), &summary::of(&whole));
}

fn replace(path: &Path, text: &str) {
    let part = path.with_extension("part");
    if let Err(error) = fs::write(&part, text).and_then(|()| fs::rename(&part, path)) {
        eprintln!("{}: {error}", path.display());
    }
}
