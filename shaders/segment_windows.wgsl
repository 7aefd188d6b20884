// Each row beside its neighbours within its sequence, bit for bit; zeros past the sequence's ends.
#include grid
#include fault

struct Params {
    count: u32,
    rows: u32,
    columns: u32,
    sequences: u32,
    // Neighbours in front, and rows side by side.
    before: u32,
    places: u32,
    step: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

#include segment

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    if p.sequences == 0u {
        report_fault(p.step);
        return;
    }
    let column = i % p.columns;
    let place = (i / p.columns) % p.places;
    let row = i / p.columns / p.places;
    let sequence = sequence_at(row, p.sequences);
    let start = u32(offsets[sequence]);
    let end = u32(offsets[sequence + 1u]);
    if row < start || row >= end || end > p.rows {
        report_fault(p.step);
        return;
    }
    // A row in front of the first wraps to a large number.
    let own = row + place - p.before;
    var made = 0u;
    if own >= start && own < end {
        made = x[own * p.columns + column];
    }
    y[i] = made;
}
