// An invocation of a grid of workgroups that may be folded: its rows are as long as a dimension allows.
struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

fn group_number(at: Invocation) -> u32 {
    return at.group.y * at.groups.x + at.group.x;
}
