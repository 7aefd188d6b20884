// Softmax over the middle axis of [outer, axis, inner]: one workgroup per row.
#include grid
#include math
#include row

struct Params {
    rows: u32,
    axis: u32,
    inner: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let row = group_number(at);
    if row >= p.rows {
        return;
    }
    let start = (row / p.inner) * p.axis * p.inner + row % p.inner;
    var largest = x[start];
    for (var i = lane; i < p.axis; i += 64u) {
        largest = larger(largest, x[start + i * p.inner]);
    }
    largest = row_max(lane, largest);
    var sum = 0.0;
    for (var i = lane; i < p.axis; i += 64u) {
        sum += exp(x[start + i * p.inner] - largest);
    }
    sum = row_sum(lane, sum);
    for (var i = lane; i < p.axis; i += 64u) {
        let own = x[start + i * p.inner] - largest;
        y[start + i * p.inner] = {{result}};
    }
}
