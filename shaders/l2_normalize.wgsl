// x / max(|x|, epsilon) row by row: a workgroup a row.
#include grid
#include math
#include row

struct Params {
    rows: u32,
    columns: u32,
    epsilon: f32,
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
    let start = row * p.columns;
    var squares = 0.0;
    for (var i = lane; i < p.columns; i += 64u) {
        squares += x[start + i] * x[start + i];
    }
    let length = larger(sqrt(row_sum(lane, squares)), p.epsilon);
    for (var i = lane; i < p.columns; i += 64u) {
        y[start + i] = x[start + i] / length;
    }
}
