// Rows along the middle axis of [outer, axis, inner], centred and scaled by a measure of the rest: a workgroup per row.
#include grid
#include math
#include row

struct Params {
    rows: u32,
    axis: u32,
    inner: u32,
    epsilon: f32,
{{fields}}
}
var<immediate> p: Params;

{{bindings}}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let row = group_number(at);
    if row >= p.rows {
        return;
    }
    let start = (row / p.inner) * p.axis * p.inner + row % p.inner;
{{mean}}
    var part = 0.0;
    for (var i = lane; i < p.axis; i += 64u) {
        let own = {{x}}[start + i * p.inner] - mean;
        part += {{each}};
    }
    let total = row_sum(lane, part);
    let length = {{length}};
    for (var i = lane; i < p.axis; i += 64u) {
        let own = {{x}}[start + i * p.inner] - mean;
        y[start + i * p.inner] = {{result}};
    }
}
