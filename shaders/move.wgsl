// Strided copy of elements, bit for bit.
#include grid

struct Params {
    count: u32,
    x_start: u32,
    y_start: u32,
    // Sizes, and strides in `x` and `y`, of the axes from the last to the first; strides wrap, so they may be negative.
    size: array<u32, 8>,
    x_step: array<u32, 8>,
    y_step: array<u32, 8>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    var rest = i;
    var x_at = p.x_start;
    var y_at = p.y_start;
{{axes}}
    y[y_at] = x[x_at];
}
