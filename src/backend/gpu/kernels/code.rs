//! Generation of WGSL that kernels share: declarations, vectors, values.

use std::fmt::Write;

/// WGSL that declares bindings in order, each by name, element type and whether it is written.
pub(super) fn bindings(all: &[(&str, &str, bool)]) -> String {
    let mut text = String::new();
    for (number, (name, kind, written)) in all.iter().enumerate() {
        let access = if *written { "read_write" } else { "read" };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "@group(0) @binding({number}) var<storage, {access}> {name}: array<{kind}>;");
    }
    text
}

/// WGSL for three numbers, of which `list` holds the last ones and the rest are 1.
pub(super) fn space(list: &[usize]) -> String {
    let mut whole = [1usize; 3];
    whole[3 - list.len()..].copy_from_slice(list);
    format!("{}u, {}u, {}u", whole[0], whole[1], whole[2])
}

/// Borrows values for the expansion of a shader.
pub(super) fn borrowed<'a>(values: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    values.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
