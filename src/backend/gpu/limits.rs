//! The limits and features of adapters that shaders need.

/// The limits to open an adapter with: as much as shaders use, if the adapter has it.
pub(super) fn limits(handle: &wgpu::Adapter) -> wgpu::Limits {
    let has = handle.limits();
    wgpu::Limits {
        max_storage_buffer_binding_size: buffer_limit(has.max_storage_buffer_binding_size),
        max_buffer_size: buffer_limit(has.max_buffer_size),
        max_immediate_size: has.max_immediate_size.min(128),
        max_compute_workgroup_storage_size: has.max_compute_workgroup_storage_size.min(32 << 10),
        ..wgpu::Limits::default().or_worse_values_from(&has)
    }
}

/// The most bytes of a buffer: at most 2 GiB, and a multiple of 256, to which sizes are rounded up.
fn buffer_limit(has: u64) -> u64 {
    has.min(1 << 31) & !255
}

/// The first limit that is below what every shader needs, if one is.
pub(super) fn exceeded(limits: &wgpu::Limits, invocation_limit: Option<u32>) -> Option<String> {
    let invocations = limits.max_compute_invocations_per_workgroup;
    let invocations = invocation_limit.map_or(invocations, |own| own.min(invocations));
    let needs = [
        ("bytes of immediate data", limits.max_immediate_size, 128),
        ("invocations in a workgroup", invocations, 256),
        ("bytes of memory in a workgroup", limits.max_compute_workgroup_storage_size, 16 << 10),
        ("storage buffers in a shader", limits.max_storage_buffers_per_shader_stage, 8),
    ];
    let (what, has, needed) = needs.into_iter().find(|(_, has, needed)| has < needed)?;
    Some(format!(" takes {has} {what}, where shaders need {needed}"))
}

/// Decides whether to use subgroups: if the adapter has them in sizes that the shaders support, unless `asked` otherwise.
pub(super) fn subgroups(handle: &wgpu::Adapter, asked: Option<bool>) -> std::result::Result<bool, &'static str> {
    let info = handle.get_info();
    let fits = info.subgroup_min_size >= 4 && info.subgroup_max_size <= 128;
    let has = handle.features().contains(wgpu::Features::SUBGROUP) && fits;
    match asked {
        Some(true) if !has => Err("has no subgroups of 4 to 128 invocations"),
        asked => Ok(asked.unwrap_or(has)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_rounded_up_stays_within_the_limit() {
        assert_eq!(buffer_limit((1 << 31) - 1), (1 << 31) - 256);
        assert_eq!(buffer_limit(u64::MAX), 1 << 31);
        assert_eq!(buffer_limit(128 << 20), 128 << 20);
    }
}
