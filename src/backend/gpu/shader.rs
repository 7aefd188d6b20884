//! WGSL sources: embedded, put together from snippets, and read back for what they bind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use wgpu::naga;

use crate::{
    backend::gpu::pipeline::Pipeline,
    error::{Error, Result},
};

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl")))),*]
    };
}

/// Every file below `shaders/`, without its ending.
static SOURCES: &[(&str, &str)] = embedded![
    "arg_reduce",
    "attention",
    "batch_norm",
    "column_max",
    "conv",
    "cooperative",
    "cum_sum",
    "fill",
    "follow",
    "gather",
    "gather_elements",
    "gather_nd",
    "halves",
    "linear",
    "matmul",
    "move",
    "norm",
    "packed_attention",
    "pad",
    "pointwise",
    "pool",
    "reduce",
    "scatter",
    "segment_pool",
    "shared/attention",
    "shared/fault",
    "shared/grid",
    "shared/grid_subgroup",
    "shared/index",
    "shared/math",
    "shared/order",
    "shared/product",
    "shared/row",
    "shared/row_subgroup",
    "shared/trigonometry",
    "softmax",
    "top_k",
];

/// Puts a shader together. A line `#include NAME` becomes `shaders/shared/NAME.wgsl`, once each; `{{NAME}}` becomes the
/// value given for it. With `subgroups` a snippet that has a form for adapters with subgroups is taken in that form.
///
/// # Errors
/// When a file is missing, a name has no value, or a value's name is nowhere.
pub(crate) fn expand(stem: &str, values: &[(&str, &str)], subgroups: bool) -> Result<String> {
    let mut text = String::new();
    // Only what works along a row has use for them.
    let subgroups = subgroups && source(stem)?.lines().any(|line| line == "#include row");
    include(stem, subgroups, &mut Vec::new(), &mut text)?;
    let mut used = vec![false; values.len()];
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}").ok_or_else(|| broken(stem, "`{{` is never closed"))?;
        let value = values.iter().position(|(own, _)| *own == name);
        let value = value.ok_or_else(|| broken(stem, &format!("`{name}` has no value")))?;
        used[value] = true;
        expanded.push_str(before);
        expanded.push_str(values[value].1);
        rest = behind;
    }
    expanded.push_str(rest);
    match used.iter().position(|used| !used) {
        Some(unused) => Err(broken(stem, &format!("the value `{}` is used nowhere", values[unused].0))),
        None => Ok(expanded),
    }
}

fn broken(stem: &str, what: &str) -> Error {
    Error::internal(format!("shader `{stem}`: {what}"))
}

fn source(path: &str) -> Result<&'static str> {
    let found = SOURCES.iter().find(|(own, _)| *own == path).map(|(_, source)| *source);
    found.ok_or_else(|| broken(path, "there is no such file"))
}

fn include(path: &str, subgroups: bool, seen: &mut Vec<String>, text: &mut String) -> Result<()> {
    if seen.iter().any(|own| own == path) {
        return Ok(());
    }
    seen.push(path.to_owned());
    for line in source(path)?.lines() {
        match line.strip_prefix("#include ") {
            Some(name) => {
                let (own, other) = (format!("shared/{name}"), format!("shared/{name}_subgroup"));
                let taken = if subgroups && source(&other).is_ok() { &other } else { &own };
                include(taken, subgroups, seen, text)?;
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// A storage buffer that a shader binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The variable's name.
    pub name: String,
    /// Its number in group 0.
    pub number: u32,
    /// Whether the shader only reads it.
    pub read_only: bool,
}

/// One expanded shader and what it binds, read off its source.
pub(crate) struct Program {
    /// The file it was made from.
    pub stem: &'static str,
    /// The whole source.
    pub source: Arc<str>,
    /// Its storage buffers by number.
    pub bindings: Vec<Binding>,
    /// Bytes of immediate data.
    pub immediates: u32,
    pub(super) compiled: OnceLock<Arc<Pipeline>>,
}

impl Program {
    fn new(stem: &'static str, values: &[(&str, &str)], subgroups: bool) -> Result<Self> {
        let source = expand(stem, values, subgroups)?;
        let module = naga::front::wgsl::parse_str(&source)
            .map_err(|error| broken(stem, &error.emit_to_string_with_path(&source, stem)))?;
        let mut bindings = Vec::new();
        let mut immediates = 0;
        for (_, variable) in module.global_variables.iter() {
            match (variable.space, &variable.binding) {
                (naga::AddressSpace::Storage { access }, Some(at)) if at.group == 0 => bindings.push(Binding {
                    name: variable.name.clone().unwrap_or_default(),
                    number: at.binding,
                    read_only: !access.contains(naga::StorageAccess::STORE),
                }),
                (naga::AddressSpace::Immediate, _) => {
                    immediates = module.types[variable.ty].inner.size(module.to_ctx());
                }
                (naga::AddressSpace::Private | naga::AddressSpace::WorkGroup, _) => {}
                (space, _) => return Err(broken(stem, &format!("a variable in {space:?}"))),
            }
        }
        bindings.sort_by_key(|binding| binding.number);
        Ok(Self { stem, source: source.into(), bindings, immediates, compiled: OnceLock::new() })
    }

    /// Checks the whole source as a driver would have it checked.
    ///
    /// # Errors
    /// When it is not valid WGSL.
    #[cfg(test)]
    pub fn validate(&self) -> Result<()> {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        let module = naga::front::wgsl::parse_str(&self.source)
            .map_err(|error| broken(self.stem, &error.emit_to_string_with_path(&self.source, self.stem)))?;
        let capabilities = Capabilities::IMMEDIATES
            | Capabilities::SUBGROUP
            | Capabilities::SHADER_FLOAT16_IN_FLOAT32
            | Capabilities::SHADER_FLOAT16
            | Capabilities::COOPERATIVE_MATRIX;
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
        validator
            .validate(&module)
            .map(drop)
            .map_err(|error| broken(self.stem, &error.emit_to_string_with_path(&self.source, self.stem)))
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("stem", &self.stem).field("bindings", &self.bindings).finish_non_exhaustive()
    }
}

/// The programs of one session, each once however many nodes use it.
#[derive(Default)]
pub(crate) struct Programs {
    made: Mutex<HashMap<String, Arc<Program>>>,
    subgroups: bool,
}

impl Programs {
    /// For an adapter with or without subgroups.
    pub fn new(subgroups: bool) -> Self {
        Self { subgroups, ..Self::default() }
    }

    /// The shader `stem` with these values.
    ///
    /// # Errors
    /// When it does not expand or parse.
    pub fn get(&self, stem: &'static str, values: &[(&str, &str)]) -> Result<Arc<Program>> {
        let key = format!("{stem}{values:?}");
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = all.get(&key) {
            return Ok(program.clone());
        }
        let program = Arc::new(Program::new(stem, values, self.subgroups)?);
        all.insert(key, program.clone());
        Ok(program)
    }

    /// Whether one was made of the shader `stem`.
    pub fn has(&self, stem: &str) -> bool {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).values().any(|program| program.stem == stem)
    }

    /// All of them.
    #[cfg(test)]
    pub fn all(&self) -> Vec<Arc<Program>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_is_there_and_no_other() {
        let mut on_disk = Vec::new();
        for folder in ["", "shared/"] {
            let path = format!("{}/shaders/{folder}", env!("CARGO_MANIFEST_DIR"));
            for entry in std::fs::read_dir(path).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if let Some(stem) = name.strip_suffix(".wgsl") {
                    on_disk.push(format!("{folder}{stem}"));
                }
            }
        }
        on_disk.sort();
        let mut embedded: Vec<_> = SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect();
        embedded.sort();
        assert_eq!(embedded, on_disk);
    }

    #[test]
    fn values_must_fit_the_source() {
        let missing = expand("pointwise", &[], false).unwrap_err();
        assert!(missing.to_string().contains("has no value"), "{missing}");
        let values = [("bindings", ""), ("fields", ""), ("operands", ""), ("body", ""), ("result", ""), ("extra", "")];
        let unused = expand("pointwise", &values, false).unwrap_err();
        assert!(unused.to_string().contains("used nowhere"), "{unused}");
        assert!(expand("nothing", &[], false).is_err());
    }
}
