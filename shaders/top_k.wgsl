// The first elements of an order along the middle axis of [outer, size, inner]: one workgroup per row.
#include grid
#include order

struct Params {
    rows: u32,
    size: u32,
    inner: u32,
    // Results of a row, and the range that this dispatch finds; earlier ones are done.
    count: u32,
    first: u32,
    behind: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;

fn rank_of(start: u32, i: u32) -> Ranked {
    let bits = x[start + i * p.inner];
    return Ranked({{key}}, i);
}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let row = group_number(at);
    if row >= p.rows {
        return;
    }
    let start = (row / p.inner) * p.size * p.inner + row % p.inner;
    let result = (row / p.inner) * p.count * p.inner + row % p.inner;
    var last = NONE;
    if p.first > 0u {
        last = rank_of(start, u32(indices[result + (p.first - 1u) * p.inner]));
    }
    for (var rank = p.first; rank < p.behind; rank++) {
        var own = NONE;
        for (var i = lane; i < p.size; i += 64u) {
            let next = rank_of(start, i);
            if last.index == 0xffffffffu || stands_before(last, next) {
                own = first_of(own, next);
            }
        }
        last = first_of_all(lane, own);
        if lane == 0u {
            values[result + rank * p.inner] = x[start + last.index * p.inner];
            indices[result + rank * p.inner] = i32(last.index);
        }
    }
}
