//! WGSL sources: embedded in the library, with snippets included and values filled in.

use crate::error::{Error, Result};

/// The source of one shader, embedded from `shaders/`.
#[derive(Clone, Copy)]
pub(crate) struct Shader {
    /// The file's name without its extension.
    pub stem: &'static str,
    /// The file's text.
    pub source: &'static str,
}

/// Embeds `shaders/STEM.wgsl` as a [`Shader`].
macro_rules! wgsl {
    ($stem:literal) => {
        $crate::backend::gpu::shader::Shader {
            stem: $stem,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl")),
        }
    };
}
pub(in crate::backend::gpu) use wgsl;

/// The snippets below `shaders/shared/`.
static SNIPPETS: &[Shader] = &[
    wgsl!("shared/attention"),
    wgsl!("shared/fault"),
    wgsl!("shared/grid"),
    wgsl!("shared/grid_subgroup"),
    wgsl!("shared/index"),
    wgsl!("shared/math"),
    wgsl!("shared/order"),
    wgsl!("shared/product"),
    wgsl!("shared/row"),
    wgsl!("shared/row_subgroup"),
    wgsl!("shared/segment"),
    wgsl!("shared/trigonometry"),
];

/// Includes the snippets of a shader, fills in its values and takes the arrays of its parameters apart.
///
/// A line `#include NAME` becomes `shaders/shared/NAME.wgsl`, at its first occurrence only; `{{NAME}}` becomes the value
/// of that name. With `subgroups`, snippets that have a variant for adapters with subgroups are taken in that variant.
///
/// # Errors
/// If a snippet is missing, a name has no value, or a value is not used.
pub(crate) fn expand(shader: &Shader, values: &[(&str, &str)], subgroups: bool) -> Result<String> {
    let mut text = String::new();
    // Only shaders that reduce rows use subgroups.
    let subgroups = subgroups && shader.source.lines().any(|line| line == "#include row");
    include(shader, subgroups, &mut Vec::new(), &mut text)?;
    let mut used = vec![false; values.len()];
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}").ok_or_else(|| broken(shader.stem, "`{{` is never closed"))?;
        let value = values.iter().position(|(own, _)| *own == name);
        let value = value.ok_or_else(|| broken(shader.stem, &format!("`{name}` has no value")))?;
        used[value] = true;
        expanded.push_str(before);
        expanded.push_str(values[value].1);
        rest = behind;
    }
    expanded.push_str(rest);
    match used.iter().position(|used| !used) {
        Some(unused) => Err(broken(shader.stem, &format!("the value `{}` is used nowhere", values[unused].0))),
        None => Ok(members(&expanded)),
    }
}

/// Replaces each array of the struct `Params` by a member for each element: `size[1]` by `size_1`.
///
/// In HLSL the elements of such an array lie 16 bytes apart, in the other languages 4.
fn members(text: &str) -> String {
    let Some((before, (own, behind))) =
        text.split_once("struct Params {").and_then(|(before, rest)| Some((before, rest.split_once("\n}")?)))
    else {
        return text.to_owned();
    };
    let (mut parameters, mut arrays) = (String::new(), Vec::new());
    for line in own.lines() {
        let array = line.trim().strip_suffix(">,").and_then(|line| line.split_once(": array<"));
        match array.and_then(|(name, array)| Some((name, array.split_once(", ")?))) {
            Some((name, (kind, len))) => {
                let count: usize = len.parse().unwrap_or(0);
                (0..count).for_each(|at| parameters.push_str(&format!("    {name}_{at}: {kind},\n")));
                arrays.push((name, count));
            }
            None => parameters.push_str(&format!("{line}\n")),
        }
    }
    let mut text = format!("{before}struct Params {{{}\n}}{behind}", parameters.trim_end());
    for (name, count) in arrays {
        for at in 0..count {
            for index in [format!("p.{name}[{at}]"), format!("p.{name}[{at}u]")] {
                text = text.replace(&index, &format!("p.{name}_{at}"));
            }
        }
    }
    text
}

/// The error for a shader that is wrong.
pub(super) fn broken(stem: &str, what: &str) -> Error {
    Error::internal(format!("shader `{stem}`: {what}"))
}

/// The snippet `name`, if it exists.
fn snippet(name: &str) -> Option<&'static Shader> {
    SNIPPETS.iter().find(|snippet| snippet.stem.strip_prefix("shared/") == Some(name))
}

/// Appends a shader to `text`, each snippet that it includes once.
fn include(shader: &Shader, subgroups: bool, seen: &mut Vec<&'static str>, text: &mut String) -> Result<()> {
    if seen.contains(&shader.stem) {
        return Ok(());
    }
    seen.push(shader.stem);
    for line in shader.source.lines() {
        match line.strip_prefix("#include ") {
            Some(name) => {
                let variant = if subgroups { snippet(&format!("{name}_subgroup")) } else { None };
                let included = variant.or_else(|| snippet(name));
                let included = included.ok_or_else(|| broken(shader.stem, &format!("no snippet `{name}`")))?;
                include(included, subgroups, seen, text)?;
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_snippet_is_listed() {
        let folder = format!("{}/shaders/shared", env!("CARGO_MANIFEST_DIR"));
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut on_disk: Vec<_> = names.map(|name| format!("shared/{}", name.strip_suffix(".wgsl").unwrap())).collect();
        on_disk.sort();
        let listed: Vec<_> = SNIPPETS.iter().map(|snippet| snippet.stem).collect();
        assert_eq!(listed, on_disk);
    }

    #[test]
    fn values_must_fit_the_source() {
        let shader = Shader { stem: "test", source: "#include index\n#include index\nlet a = {{a}};\n" };
        let expanded = expand(&shader, &[("a", "1u")], false).unwrap();
        assert!(expanded.ends_with("let a = 1u;\n"), "{expanded}");
        assert_eq!(expanded.matches("fn ").count(), SNIPPETS[4].source.matches("fn ").count());
        let missing = expand(&shader, &[], false).unwrap_err();
        assert!(missing.to_string().contains("has no value"), "{missing}");
        let unused = expand(&shader, &[("a", ""), ("extra", "")], false).unwrap_err();
        assert!(unused.to_string().contains("used nowhere"), "{unused}");
        let absent = Shader { stem: "test", source: "#include nothing\n" };
        assert!(expand(&absent, &[], false).is_err());
    }

    #[test]
    fn arrays_of_parameters_become_members() {
        let source = "struct Params {\n    // Sizes.\n    size: array<u32, 2>,\n    step: u32,\n}\nlet a = p.size[1u] + p.size[0] + p.step;\n";
        let expanded = expand(&Shader { stem: "test", source }, &[], false).unwrap();
        let due = "struct Params {\n    // Sizes.\n    size_0: u32,\n    size_1: u32,\n    step: u32,\n}\nlet a = p.size_1 + p.size_0 + p.step;\n";
        assert_eq!(expanded, due);
    }
}
