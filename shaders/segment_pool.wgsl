// Reduction of the rows of each sequence: one invocation per column.
#include grid
#include math
#include fault

struct Params {
    rows: u32,
    columns: u32,
    sequences: u32,
    step: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let i = group_number(at) * 64u + at.lane;
    if i >= p.sequences * p.columns {
        return;
    }
    let sequence = i / p.columns;
    let column = i % p.columns;
    let start = u32(offsets[sequence]);
    let end = u32(offsets[sequence + 1u]);
    if start > end || end > p.rows {
        report_fault(p.step);
        return;
    }
    var made = 0.0;
    if start < end {
{{reduce}}
    }
    y[i] = made;
}
