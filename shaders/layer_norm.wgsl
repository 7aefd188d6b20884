// (x - mean) / sqrt(variance + epsilon) * scale + bias over the middle axis of [outer, axis, inner]: a workgroup a row.
#include grid
#include math
#include row

struct Params {
    rows: u32,
    axis: u32,
    inner: u32,
    // Elements of scale and bias, which are repeated along the axis.
    scales: u32,
    biases: u32,
    epsilon: f32,
}
var<immediate> p: Params;

{{bindings}}
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let row = group_number(at);
    if row >= p.rows {
        return;
    }
    let start = (row / p.inner) * p.axis * p.inner + row % p.inner;
    var sum = 0.0;
    for (var i = lane; i < p.axis; i += 64u) {
        sum += {{x}}[start + i * p.inner];
    }
    let mean = row_sum(lane, sum) / f32(p.axis);
    var squares = 0.0;
    for (var i = lane; i < p.axis; i += 64u) {
        let own = {{x}}[start + i * p.inner] - mean;
        squares += own * own;
    }
    let factor = 1.0 / sqrt(row_sum(lane, squares) / f32(p.axis) + p.epsilon);
    for (var i = lane; i < p.axis; i += 64u) {
        let own = ({{x}}[start + i * p.inner] - mean) * factor;
        y[start + i * p.inner] = own * {{scale}} + {{bias}};
    }
}
