// y[i] = f(operands at i): the kernel generates the operands' indices and the function.
#include grid
#include math
#include trigonometry

struct Params {
    count: u32,
{{fields}}
}
var<immediate> p: Params;

{{bindings}}

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
{{operands}}
{{body}}
    y[i] = {{result}};
}
