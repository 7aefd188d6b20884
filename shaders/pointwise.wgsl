// y[i] = f(operands at i): the operands' positions and the function are written by the kernel.
#include grid
#include math

struct Params {
    count: u32,
{{fields}}
}
var<immediate> p: Params;

{{bindings}}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_number(group, groups) * 256u + lane;
    if i >= p.count {
        return;
    }
{{operands}}
{{body}}
    y[i] = {{result}};
}
