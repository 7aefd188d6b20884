//! The connection to the graphics drivers of this machine.

use std::sync::OnceLock;

/// The connection, made once because that loads drivers.
pub(super) fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| quiet().unwrap_or_else(plain))
}

// Without the flags that debug builds would set: validation layers are not part of a run.
const FLAGS: wgpu::InstanceFlags = wgpu::InstanceFlags::empty();

fn plain() -> wgpu::Instance {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: FLAGS,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

/// A connection that does not ask for Wayland's surfaces.
///
/// Mesa's device selection layer connects to a Wayland display where they are asked for, and libwayland writes to stderr
/// where there is none.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "wgpu takes a list of extensions through its unsafe layer alone")]
fn quiet() -> Option<wgpu::Instance> {
    use wgpu::hal::{InstanceDescriptor, api::Vulkan, vulkan};
    let descriptor = InstanceDescriptor {
        name: "gristmill",
        flags: FLAGS,
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds::default(),
        backend_options: wgpu::BackendOptions::default(),
        telemetry: None,
        display: None,
    };
    let leave_out: Box<vulkan::CreateInstanceCallback<'_>> =
        Box::new(|args| args.extensions.retain(|name| *name != c"VK_KHR_wayland_surface"));
    // SAFETY: the callback leaves out one extension, which Vulkan does not require of anybody. wgpu uses it only to make
    // a surface on a Wayland display, after it has looked for it in that same list; nothing here makes surfaces.
    let made = unsafe { vulkan::Instance::init_with_callback(&descriptor, Some(leave_out)) };
    // SAFETY: the instance was made just now and is given away.
    Some(unsafe { wgpu::Instance::from_hal::<Vulkan>(made.ok()?) })
}

#[cfg(not(target_os = "linux"))]
fn quiet() -> Option<wgpu::Instance> {
    None
}
