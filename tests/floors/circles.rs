//! Circles in a graph of arrows: strongly connected components of more than one node.

use std::collections::{BTreeMap, BTreeSet};

/// The circles, each sorted; a node with an arrow to itself is none.
pub fn find(arrows: impl IntoIterator<Item = (String, String)>) -> Vec<Vec<String>> {
    let mut next: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in arrows {
        next.entry(to.clone()).or_default();
        next.entry(from).or_default().insert(to);
    }
    let reach: BTreeMap<&String, BTreeSet<&String>> = next.keys().map(|node| (node, reached(&next, node))).collect();
    let mut found = BTreeSet::new();
    for (node, own) in &reach {
        let circle: Vec<String> =
            own.iter().filter(|other| reach[**other].contains(node)).map(|other| (*other).clone()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// What can be reached from `start`.
fn reached<'a>(next: &'a BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = next[start].iter().collect();
    while let Some(node) = open.pop() {
        if reached.insert(node) {
            open.extend(&next[node]);
        }
    }
    reached
}

#[test]
fn circles_are_found_and_lines_are_not() {
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let arrows = [arrow("a", "b"), arrow("b", "c"), arrow("c", "b"), arrow("c", "d"), arrow("d", "d")];
    assert_eq!(find(arrows), [["b", "c"]]);
}
