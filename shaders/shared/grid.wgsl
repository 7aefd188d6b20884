// The number of a workgroup in a grid that may be folded: its rows are as long as a dimension allows.
fn group_number(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
