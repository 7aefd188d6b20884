// y[..., j, ...] = x[..., indices[..., j, ...], ...]: each index selects along one axis.
#include grid
#include fault
#include index

struct Params {
    count: u32,
    // The size of the axis, and the stride along it in `x`.
    size: u32,
    axis_step: u32,
    step: u32,
    // From the last axis to the first: sizes of the indices, and strides in `x`, 0 along the axis.
    shape: array<u32, 8>,
    x_step: array<u32, 8>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    var rest = i;
    var x_at = 0u;
{{axes}}
    y[i] = x[x_at + resolve(indices[i], p.size, p.step) * p.axis_step];
}
