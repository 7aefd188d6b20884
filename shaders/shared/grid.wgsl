// Index of an invocation in a grid of workgroups, which may be folded into two dimensions.
struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

fn group_number(at: Invocation) -> u32 {
    return at.group.y * at.groups.x + at.group.x;
}
