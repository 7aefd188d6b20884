//! Facts and limits of the adapters, and what the one to use does with numbers at the edges.

use std::sync::mpsc;

use crate::{Failure, Kit, Outcome, figure, steps::counts::machine};

/// Denormals and divisions, a result each; written so that no compiler knows the operands.
const PROBE: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1)
fn main() {
    y[0] = x[0] * x[1];
    y[1] = x[0] + x[0];
    y[2] = x[2] * x[3];
    y[3] = x[4] / x[4];
    y[4] = x[5] / x[6];
    y[5] = x[5] / x[7];
    y[6] = x[0] / x[0];
    y[7] = fma(x[8], x[8], x[9]);
    y[8] = x[8] * x[8] + x[9];
}
";
const X: [f32; 10] = [1e-40, 3e38, 1e-30, 1e-10, f32::MAX, 1.0, 0.0, f32::INFINITY, 1.000_244_1, -1.000_488_3];
/// What each result is, and the value where nothing is flushed or approximated.
const Y: [(&str, f32); 9] = [
    ("a denormal that is read (1e-40 x 3e38)", 1e-40 * 3e38),
    ("a sum of denormals (1e-40 + 1e-40)", 2e-40),
    ("a denormal result (1e-30 x 1e-10)", 1e-30 * 1e-10),
    ("MAX / MAX", 1.0),
    ("1 / 0", f32::INFINITY),
    ("1 / infinity", 0.0),
    ("1e-40 / 1e-40", 1.0),
    ("fma with a small result", 5.960_464_5e-8),
    ("the same as a product and a sum (0: not contracted)", 0.0),
];

pub fn run(kit: &Kit) -> Outcome {
    machine();
    let flags = wgpu::InstanceFlags::empty();
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    for (index, adapter) in adapters.iter().enumerate() {
        let info = adapter.get_info();
        let what = format!("{index}: {} ({:?}, {} {})", info.name, info.device_type, info.driver, info.driver_info);
        figure::note(format!("adapter {what}"));
    }
    let is_card = |own: &&wgpu::Adapter| own.get_info().device_type != wgpu::DeviceType::Cpu;
    let card = adapters.iter().find(is_card).or_else(|| adapters.first().filter(|_| kit.tiny));
    // Without a card the steps of the CPU run all the same.
    let name = card.map_or_else(|| "none".to_owned(), |adapter| adapter.get_info().name);
    let fact = |row: &str, value: String| figure::cell("fact", row, "value", value);
    fact("adapter to use", name);
    let Some(adapter) = card else { return Ok(()) };
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    fact("driver", format!("{} {}", info.driver, info.driver_info));
    fact("vendor, device", format!("{:#x}, {:#x}", info.vendor, info.device));
    fact("subgroups", format!("{} to {}", info.subgroup_min_size, info.subgroup_max_size));
    for (row, feature) in [
        ("f16 in shaders", wgpu::Features::SHADER_F16),
        ("subgroup operations", wgpu::Features::SUBGROUP),
        ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
        ("immediate data", wgpu::Features::IMMEDIATES),
        ("pipeline cache", wgpu::Features::PIPELINE_CACHE),
        ("cooperative matrices", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ] {
        fact(row, if features.contains(feature) { "yes" } else { "no" }.to_owned());
    }
    let shapes = adapter.cooperative_matrix_properties();
    let shapes: Vec<String> = shapes.iter().map(|own| format!("{own:?}")).collect();
    fact("shapes of matrices", if shapes.is_empty() { "none".to_owned() } else { shapes.join("; ") });
    for (row, value) in [
        ("bytes of a binding", limits.max_storage_buffer_binding_size),
        ("bytes of a buffer", limits.max_buffer_size),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size.into()),
        ("invocations of a workgroup", limits.max_compute_invocations_per_workgroup.into()),
        ("workgroups of a dimension", limits.max_compute_workgroups_per_dimension.into()),
        ("storage buffers of a shader", limits.max_storage_buffers_per_shader_stage.into()),
        ("bytes of immediate data", limits.max_immediate_size.into()),
    ] {
        figure::cell("fact", row, "value", value);
    }
    for ((name, due), got) in Y.iter().zip(probe(adapter)?) {
        figure::cell("edge", name, "computed", format!("{got:e}"));
        figure::cell("edge", name, "exact", format!("{due:e}"));
    }
    Ok(())
}

/// The results of the probe.
fn probe(adapter: &wgpu::Adapter) -> Result<Vec<f32>, Failure> {
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
    let source = wgpu::ShaderSource::Wgsl(PROBE.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let bytes = 4 * Y.len() as u64;
    let buffer = |size: usize, usage| {
        let size = 4 * size as u64;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let x = buffer(X.len(), wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST);
    queue.write_buffer(&x, 0, bytemuck::cast_slice(&X));
    let y = buffer(Y.len(), wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let read = buffer(Y.len(), wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: x.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: y.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(&y, 0, &read, 0, bytes);
    queue.submit([encoder.finish()]);
    let (sender, receiver) = mpsc::channel();
    read.slice(..).map_async(wgpu::MapMode::Read, move |result| {
        let _ = sender.send(result);
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;
    let mapped = read.get_mapped_range(0..bytes)?;
    Ok(bytemuck::pod_collect_to_vec(&mapped[..]))
}
