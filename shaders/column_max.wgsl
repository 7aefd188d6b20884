// Maximum of each column of [items, rows, columns], NaN if an element is NaN: one invocation per column.
#include grid
#include math

struct Params {
    items: u32,
    rows: u32,
    columns: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let i = group_number(at) * 64u + at.lane;
    if i >= p.items * p.columns {
        return;
    }
    let start = (i / p.columns) * p.rows * p.columns + i % p.columns;
    var largest = -infinity();
    for (var row = 0u; row < p.rows; row++) {
        largest = larger(largest, x[start + row * p.columns]);
    }
    y[i] = largest;
}
