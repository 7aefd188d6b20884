//! The files of `src/`, and what each imports, read as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// One path that a file imports or names.
#[derive(Debug)]
pub struct Import {
    /// The file as an error shows it.
    pub file: String,
    pub line: usize,
    /// The path as written, absolute.
    pub path: String,
    /// The modules, and the files that hold them.
    pub from: String,
    pub to: String,
    pub from_file: String,
    pub to_file: String,
}

/// All files, and their imports.
pub struct Tree {
    /// Text by module path, tests and comments blanked; the root's path is empty.
    files: BTreeMap<String, String>,
    imports: Vec<Import>,
}

/// A path of a `use` tree or an expression.
struct Named {
    line: usize,
    path: Vec<String>,
    alias: Option<String>,
    exported: bool,
    is_use: bool,
}

impl Tree {
    pub fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    // A package of its own.
                    if !path.join("Cargo.toml").exists() {
                        open.push(path);
                    }
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let module = path.strip_prefix(root).unwrap().with_extension("");
                    let module = module.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("::");
                    let module = if module == "lib" { String::new() } else { module };
                    files.insert(module, blank_tests(&blank_comments(&fs::read_to_string(&path).unwrap())));
                }
            }
        }
        let mut tree = Self { files, imports: Vec::new() };
        tree.resolve();
        tree
    }

    /// Puts `text` before that of a file.
    pub fn plant(&mut self, file: &str, text: &str) {
        let module = file.trim_end_matches(".rs").replace('/', "::");
        let own = self.files.get_mut(&module).unwrap_or_else(|| panic!("there is no src/{file}"));
        own.insert_str(0, text);
        self.resolve();
    }

    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    pub fn has_folder(&self, module: &str) -> bool {
        let inside = format!("{module}::");
        self.files.keys().any(|other| other.starts_with(&inside))
    }

    fn resolve(&mut self) {
        let named: BTreeMap<&String, Vec<Named>> =
            self.files.iter().map(|(module, text)| (module, named(text, module, &self.files))).collect();
        let mut exports: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (module, all) in &named {
            for one in all.iter().filter(|one| one.is_use && one.exported) {
                let last = one.alias.as_ref().or(one.path.last()).unwrap();
                exports.insert(((*module).clone(), last.clone()), one.path.clone());
            }
        }
        let mut imports = Vec::new();
        for (module, all) in &named {
            // A re-export is a door, not a use: whoever comes through it is counted.
            for one in all.iter().filter(|one| !one.exported) {
                let Some(to) = self.defined_in(&one.path, &exports) else { continue };
                if to == **module {
                    continue;
                }
                let shown = |module: &str| {
                    let file = if module.is_empty() { "lib".to_owned() } else { module.replace("::", "/") };
                    format!("src/{file}.rs")
                };
                imports.push(Import {
                    file: shown(module),
                    line: one.line,
                    path: format!("crate::{}", one.path.join("::")),
                    from: (*module).clone(),
                    from_file: shown(module),
                    to_file: shown(&to),
                    to,
                });
            }
        }
        self.imports = imports;
    }

    /// The module whose file defines what `path` names.
    fn defined_in(&self, path: &[String], exports: &BTreeMap<(String, String), Vec<String>>) -> Option<String> {
        let mut path = path.to_vec();
        for _ in 0..16 {
            let longest = (0..=path.len()).rev().find(|&len| self.files.contains_key(&path[..len].join("::")))?;
            let module = path[..longest].join("::");
            let Some(item) = path.get(longest) else { return Some(module) };
            match exports.get(&(module.clone(), item.clone())) {
                Some(behind) => {
                    let rest = path.split_off(longest + 1);
                    path = behind.clone();
                    path.extend(rest);
                }
                None => return Some(module),
            }
        }
        None
    }
}

/// Every path of `text` that starts at the crate's root, and those of `use` lines that start at this module.
fn named(text: &str, module: &str, files: &BTreeMap<String, String>) -> Vec<Named> {
    let own: Vec<String> = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let children: BTreeSet<&str> = files
        .keys()
        .filter_map(|other| if module.is_empty() { Some(&**other) } else { other.strip_prefix(&format!("{module}::")) })
        .filter(|rest| !rest.is_empty() && !rest.contains("::"))
        .collect();
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(start) = text[place..].find(|c: char| c.is_alphabetic() || c == '_').map(|start| place + start) {
        let end = text[start..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(text.len(), |len| start + len);
        let word = &text[start..end];
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let before = text[line_start..start].trim();
        place = end;
        if word == "use" && (before.is_empty() || before.starts_with("pub")) {
            let exported = before.starts_with("pub");
            let close = text[end..].find(';').map_or(text.len(), |len| end + len);
            let mut leaves = Vec::new();
            use_tree(&text[..close], end, &mut Vec::new(), &mut leaves);
            for (at, path, alias) in leaves {
                if let Some(path) = absolute(path, &own, &children) {
                    found.push(Named { line: line_of(text, at), path, alias, exported, is_use: true });
                }
            }
            place = close;
        } else if matches!(word, "crate" | "super") && text[end..].starts_with("::") && !before.ends_with("pub(in") {
            let mut path = vec![word.to_owned()];
            let mut rest = end;
            while let Some(tail) = text[rest..].strip_prefix("::") {
                let len = tail.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tail.len());
                if len == 0 {
                    break;
                }
                path.push(tail[..len].to_owned());
                rest += 2 + len;
            }
            if let Some(path) = absolute(path, &own, &children) {
                found.push(Named { line: line_of(text, start), path, alias: None, exported: false, is_use: false });
            }
            place = rest;
        }
    }
    found
}

/// The leaves of a `use` tree from `at` on, with where each stands.
fn use_tree(
    text: &str,
    mut at: usize,
    prefix: &mut Vec<String>,
    leaves: &mut Vec<(usize, Vec<String>, Option<String>)>,
) -> usize {
    let depth = prefix.len();
    let mut leaf = None;
    loop {
        at += text[at..].find(|c: char| !c.is_whitespace()).unwrap_or(text.len() - at);
        let rest = &text[at..];
        let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        match &rest[..len] {
            "as" => {
                let tail = rest[len..].trim_start();
                let start = text.len() - tail.len();
                let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tail.len());
                leaves.push((start, prefix.clone(), Some(tail[..end].to_owned())));
                leaf = None;
                at = start + end;
            }
            "" if rest.starts_with("::") => at += 2,
            "" if rest.starts_with('*') => {
                leaf = Some(at);
                at += 1;
            }
            "" if rest.starts_with('{') => {
                leaf = None;
                at += 1;
                loop {
                    at = use_tree(text, at, prefix, leaves);
                    match text[at..].chars().next() {
                        Some(',') => at += 1,
                        Some('}') => break,
                        _ => return text.len(),
                    }
                }
                at += 1;
            }
            "" => break,
            word => {
                leaf = Some(at);
                if word != "self" || prefix.is_empty() {
                    prefix.push(word.to_owned());
                }
                at += len;
            }
        }
    }
    if let Some(start) = leaf {
        leaves.push((start, prefix.clone(), None));
    }
    prefix.truncate(depth);
    at
}

/// A path from the crate's root; `None` for one of another crate.
fn absolute(path: Vec<String>, own: &[String], children: &BTreeSet<&str>) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([own, &path[1..]].concat()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            Some([&own[..own.len().checked_sub(up)?], &path[up..]].concat())
        }
        first if children.contains(first) => Some([own, &path].concat()),
        _ => None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// `text` with comments and string literals blanked, lines kept.
fn blank_comments(text: &str) -> String {
    let mut blank = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|tail| tail.len() - tail.trim_start_matches('#').len());
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |len| len + 2)
        } else if let Some(hashes) = raw.filter(|hashes| rest[1 + hashes..].starts_with('"')) {
            let close = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            rest[start..].find(&close).map_or(rest.len(), |len| start + len + close.len())
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |len| len + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if let Some(escaped) = rest.strip_prefix("'\\") {
            escaped.find('\'').map_or(rest.len(), |len| len + 3)
        } else {
            blank.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        blank.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[len..];
    }
    blank
}

/// `text` without its unit tests: from `#[cfg(test)]` to the end of the item, lines kept.
fn blank_tests(text: &str) -> String {
    let mut text = text.to_owned();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        while let Some(start) = text.find(attribute) {
            let body = text[start..].find(['{', ';']).map_or(text.len(), |len| start + len);
            let mut end = body + 1;
            if text[body..].starts_with('{') {
                let mut depth = 0;
                for (at, c) in text[body..].char_indices() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if depth == 0 {
                        end = body + at + 1;
                        break;
                    }
                }
            }
            let end = end.min(text.len());
            let blank: String = text[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            text.replace_range(start..end, &blank);
        }
    }
    text
}
