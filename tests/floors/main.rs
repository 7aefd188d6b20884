//! Imports of `src/` run down the floors of docs/ARCHITECTURE.md, and close no circle.
//!
//! Every `use` line and every `crate::` path outside unit tests is read as text and followed to the file that defines
//! the item, through re-exports. Planted imports at the end show that each rule can fail.

mod circles;
mod source;

use std::{collections::BTreeMap, path::Path};

use source::Tree;

/// The rooms of each floor, from the ground up. A folder that is not listed belongs to the room around it.
const FLOORS: &[&[&str]] = &[
    &["error", "shape", "tensor", "threads"],
    &["kernels", "inference"],
    &["graph", "op"],
    &["ops", "plan", "rewrite"],
    &["backend", "bulk"],
    &["import"],
    &["text", "vision", "files", "candle", "verify", "inspect", "tensor_cache"],
    &["testing", "python", ""],
];

/// The only rooms that a leaf may import, where its floor alone would let it see more.
const LEAVES: &[(&str, &[&str])] = &[
    ("kernels", &["error", "shape", "tensor", "threads"]),
    ("inference", &["error", "threads"]),
    ("bulk", &["error", "threads", "inference"]),
    ("threads", &["error"]),
];

/// Rooms whose folders are rooms of their own: no circle may run between them.
const WINGS: &[&str] = &["backend", "bulk", "ops"];

/// Rooms that know each other by nature: a graph holds operators, an operator infers on a graph.
const TWINS: (&str, &str) = ("graph", "op");

/// Files that one circle of imports may hold.
const MOST_IN_A_CIRCLE: usize = 3;

/// The first part of a module's path: the room that has a floor.
fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// The room that must close no circle: the folder below a wing, else the room.
fn wing_room(tree: &Tree, module: &str) -> String {
    let mut parts = module.split("::");
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        Some(second) if WINGS.contains(&first) && tree.has_folder(&format!("{first}::{second}")) => {
            format!("{first}::{second}")
        }
        _ => first.to_owned(),
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// What is wrong with the imports, a line each.
fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for import in tree.imports() {
        let (from, to) = (room(&import.from), room(&import.to));
        if from == to {
            continue;
        }
        let place = format!("{}:{}: `{}`", import.file, import.line, import.path);
        let (Some(own), Some(other)) = (floor(from), floor(to)) else {
            faults.push(format!("{place}: `{from}` or `{to}` has no floor; add it to FLOORS"));
            continue;
        };
        if other > own {
            faults.push(format!("{place} runs upward, from `{from}` on floor {} to `{to}` on {}", own + 1, other + 1));
        }
        if let Some((_, allowed)) = LEAVES.iter().find(|(leaf, _)| *leaf == from)
            && !allowed.contains(&to)
        {
            faults.push(format!("{place}: `{from}` may import {allowed:?} alone"));
        }
    }
    faults.extend(circles_between_rooms(tree));
    faults.extend(circles_of_files(tree));
    faults
}

fn circles_between_rooms(tree: &Tree) -> Vec<String> {
    let mut arrows: BTreeMap<(String, String), String> = BTreeMap::new();
    for import in tree.imports() {
        let (from, to) = (wing_room(tree, &import.from), wing_room(tree, &import.to));
        let twins = [(TWINS.0, TWINS.1), (TWINS.1, TWINS.0)].contains(&(room(&import.from), room(&import.to)));
        // What stands in a wing itself, outside its folders, is its ground or its top: files are judged, not the wing.
        let own_wing = WINGS.contains(&&*from) || WINGS.contains(&&*to);
        if from != to && !twins && !(own_wing && room(&import.from) == room(&import.to)) {
            arrows.entry((from, to)).or_insert_with(|| format!("{}:{}: `{}`", import.file, import.line, import.path));
        }
    }
    let circles = circles::find(arrows.keys().cloned());
    let told = |circle: Vec<String>| {
        let inside = arrows.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
        let lines: Vec<_> = inside.map(|((from, to), place)| format!("  {from} -> {to}: {place}")).collect();
        format!("rooms in a circle: {}\n{}", circle.join(", "), lines.join("\n"))
    };
    circles.into_iter().map(told).collect()
}

fn circles_of_files(tree: &Tree) -> Vec<String> {
    let arrows = tree.imports().iter().filter(|import| import.from_file != import.to_file);
    let circles = circles::find(arrows.map(|import| (import.from_file.clone(), import.to_file.clone())));
    let large = circles.into_iter().filter(|circle| circle.len() > MOST_IN_A_CIRCLE);
    large.map(|circle| format!("{} files in a circle: {}", circle.len(), circle.join(", "))).collect()
}

fn src() -> Tree {
    Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn imports_run_down_and_close_no_circle() {
    let tree = src();
    assert!(tree.imports().len() > 1000, "{} imports were read", tree.imports().len());
    let faults = faults(&tree);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_planted_upward_import_is_found_with_its_line() {
    let mut tree = src();
    tree.plant("kernels/softmax.rs", "use crate::{\n    error::Error,\n    graph::Graph,\n};\n");
    let found = faults(&tree);
    assert!(found.iter().any(|fault| fault.starts_with("src/kernels/softmax.rs:3: `crate::graph::Graph` runs upward")));
    assert!(found.iter().any(|fault| fault.contains("`kernels` may import")), "{found:?}");
}

#[test]
fn a_planted_path_without_use_is_found() {
    let mut tree = src();
    tree.plant("bulk/cancel.rs", "fn peek(_: crate::tensor::Tensor) {}\n");
    let found = faults(&tree);
    assert!(found.iter().any(|fault| fault.starts_with("src/bulk/cancel.rs:1: `crate::tensor::Tensor`")), "{found:?}");
}

#[test]
fn a_planted_circle_between_rooms_is_found() {
    let mut tree = src();
    tree.plant("plan.rs", "use crate::rewrite::optimize;\n");
    tree.plant("rewrite/dead.rs", "use crate::plan::Plan;\n");
    let found = faults(&tree);
    assert!(found.iter().any(|fault| fault.starts_with("rooms in a circle: plan, rewrite")), "{found:?}");
}

#[test]
fn a_planted_circle_of_files_is_found() {
    let mut tree = src();
    let files = ["norm", "softmax", "segments", "cast"];
    for (index, file) in files.iter().enumerate() {
        let next = files[(index + 1) % files.len()];
        tree.plant(&format!("kernels/{file}.rs"), &format!("use crate::kernels::{next}::anything;\n"));
    }
    let found = faults(&tree);
    assert!(found.iter().any(|fault| fault.contains("files in a circle")), "{found:?}");
}
