//! Compilation of programs for a device.

use std::sync::{Arc, PoisonError};

use crate::{
    backend::gpu::{
        device::GpuDevice,
        program::{Pipeline, Program},
    },
    error::Result,
};

impl GpuDevice {
    /// Returns the program compiled for this device, compiling it on first use.
    ///
    /// # Errors
    /// If the driver refuses it.
    pub(crate) fn pipeline(&self, program: &Program) -> Result<Arc<Pipeline>> {
        if let Some(pipeline) = program.compiled.get() {
            return Ok(pipeline.clone());
        }
        let mut all = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = all.entry(program.source.clone()).or_default().clone();
        // Threads that need other programs compile them meanwhile.
        drop(all);
        let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
        let pipeline = match &*cell {
            Some(pipeline) => pipeline.clone(),
            None => cell.insert(Arc::new(self.compile(program)?)).clone(),
        };
        Ok(program.compiled.get_or_init(|| pipeline).clone())
    }

    fn compile(&self, program: &Program) -> Result<Pipeline> {
        let label = Some(program.stem);
        let module = self.module(program);
        let entries: Vec<wgpu::BindGroupLayoutEntry> = program
            .bindings
            .iter()
            .map(|binding| wgpu::BindGroupLayoutEntry {
                binding: binding.number,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: binding.read_only },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let whole = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: program.immediates,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&whole),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        self.check()?;
        Ok(Pipeline { pipeline, layout })
    }

    /// The program as a shader module, without run-time checks unless the options ask for them.
    #[allow(unsafe_code, reason = "the library's own shaders run without run-time checks")]
    fn module(&self, program: &Program) -> wgpu::ShaderModule {
        let text = match &self.hooks.planted {
            Some((from, to)) => program.source.replace(from, to).into(),
            None => (&*program.source).into(),
        };
        let source = wgpu::ShaderModuleDescriptor { label: Some(program.stem), source: wgpu::ShaderSource::Wgsl(text) };
        if self.checked {
            return self.device.create_shader_module(source);
        }
        // SAFETY: the source is the library's own. Its shaders keep every index within what they bind, and their loops
        // end; tests run each of them with the checks on too.
        unsafe { self.device.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) }
    }
}
