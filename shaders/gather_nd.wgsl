// y[t, c] = x[indices[t, 0], indices[t, 1], ..., c]: a tuple of indices selects a row.
#include grid
#include fault
#include index

struct Params {
    count: u32,
    // Elements of a row, tuples and elements of a batch.
    row: u32,
    tuples: u32,
    batch: u32,
    step: u32,
    // Sizes of the indexed axes, and strides along them.
    size: array<u32, 8>,
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
    let tuple = i / p.row;
    var x_at = (tuple / p.tuples) * p.batch + i % p.row;
{{places}}
    y[i] = x[x_at];
}
