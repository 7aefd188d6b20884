// 1 at the first largest element along the middle axis of [outer, size, inner], 0 elsewhere: one workgroup per row.
#include grid
#include order

struct Params {
    rows: u32,
    size: u32,
    inner: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let row = group_number(at);
    if row >= p.rows {
        return;
    }
    let start = (row / p.inner) * p.size * p.inner + row % p.inner;
    var own = NONE;
    for (var i = lane; i < p.size; i += 64u) {
        let bits = x[start + i * p.inner];
        own = first_of(own, Ranked({{key}}, i));
    }
    let first = first_of_all(lane, own).index;
    for (var i = lane; i < p.size; i += 64u) {
        y[start + i * p.inner] = select(0.0, 1.0, i == first);
    }
}
