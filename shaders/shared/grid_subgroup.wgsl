// Like grid, for adapters with subgroups: also the index within the subgroup.
struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) place: u32,
}

var<private> own_subgroup: u32;
var<private> own_subgroups: u32;
var<private> own_place: u32;

fn group_number(at: Invocation) -> u32 {
    own_subgroup = at.subgroup;
    own_subgroups = at.subgroups;
    own_place = at.place;
    return at.group.y * at.groups.x + at.group.x;
}
