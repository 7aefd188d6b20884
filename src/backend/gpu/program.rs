//! Expanded shaders, and what they bind, read off their source.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use wgpu::naga;

use crate::{
    backend::gpu::shader::{Shader, broken, expand},
    error::Result,
};

/// A storage buffer that a shader binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The variable's name.
    pub name: String,
    /// The number of the binding in group 0.
    pub number: u32,
    /// Whether the shader only reads it.
    pub read_only: bool,
    /// Whether the shader reads it.
    pub is_read: bool,
}

/// A shader compiled for a device, and the layout of its bindings.
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// An expanded shader and what it binds.
pub(crate) struct Program {
    /// The name of the file that it was expanded from.
    pub stem: &'static str,
    /// The whole source.
    pub source: Arc<str>,
    /// The storage buffers, ordered by number.
    pub bindings: Vec<Binding>,
    /// Bytes of immediate data.
    pub immediates: u32,
    pub(super) compiled: OnceLock<Arc<Pipeline>>,
}

impl Program {
    fn new(shader: &Shader, values: &[(&str, &str)], subgroups: bool) -> Result<Self> {
        let stem = shader.stem;
        let source = expand(shader, values, subgroups)?;
        let module = naga::front::wgsl::parse_str(&source)
            .map_err(|error| broken(stem, &error.emit_to_string_with_path(&source, stem)))?;
        let mut bindings = Vec::new();
        let mut immediates = 0;
        let loaded = loaded(&module);
        for (handle, variable) in module.global_variables.iter() {
            match (variable.space, &variable.binding) {
                (naga::AddressSpace::Storage { access }, Some(at)) if at.group == 0 => bindings.push(Binding {
                    name: variable.name.clone().unwrap_or_default(),
                    number: at.binding,
                    read_only: !access.contains(naga::StorageAccess::STORE),
                    is_read: loaded.contains(&handle),
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

    /// Validates the whole source as a driver would.
    ///
    /// # Errors
    /// If it is not valid WGSL.
    #[cfg(test)]
    pub(crate) fn validate(&self) -> Result<()> {
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

/// The variables that the functions of a module load from.
fn loaded(module: &naga::Module) -> HashSet<naga::Handle<naga::GlobalVariable>> {
    let functions = module.functions.iter().map(|(_, function)| function);
    let mut loaded = HashSet::new();
    for function in functions.chain(module.entry_points.iter().map(|entry| &entry.function)) {
        for (_, expression) in function.expressions.iter() {
            let naga::Expression::Load { pointer: mut at } = *expression else { continue };
            while let naga::Expression::Access { base, .. } | naga::Expression::AccessIndex { base, .. } =
                function.expressions[at]
            {
                at = base;
            }
            if let naga::Expression::GlobalVariable(variable) = function.expressions[at] {
                loaded.insert(variable);
            }
        }
    }
    loaded
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("stem", &self.stem).field("bindings", &self.bindings).finish_non_exhaustive()
    }
}

/// The programs of one session, shared by its nodes.
#[derive(Default)]
pub(crate) struct Programs {
    made: Mutex<HashMap<String, Arc<Program>>>,
    subgroups: bool,
}

impl Programs {
    /// No programs yet, for an adapter with or without subgroups.
    pub(super) fn new(subgroups: bool) -> Self {
        Self { subgroups, ..Self::default() }
    }

    /// Returns the shader expanded with these values.
    ///
    /// # Errors
    /// If it does not expand or parse.
    pub(super) fn get(&self, shader: &Shader, values: &[(&str, &str)]) -> Result<Arc<Program>> {
        let key = format!("{}{values:?}", shader.stem);
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = all.get(&key) {
            return Ok(program.clone());
        }
        let program = Arc::new(Program::new(shader, values, self.subgroups)?);
        all.insert(key, program.clone());
        Ok(program)
    }

    /// Whether a program was expanded from the shader `stem`.
    pub(super) fn has(&self, stem: &str) -> bool {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).values().any(|program| program.stem == stem)
    }

    /// Returns all programs.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Arc<Program>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
