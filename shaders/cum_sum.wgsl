// Cumulative sums along the middle axis of [outer, size, inner]: one invocation per row.
#include grid

struct Params {
    rows: u32,
    size: u32,
    inner: u32,
    // The elements of a row that this dispatch sums; earlier ones are done.
    first: u32,
    behind: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<{{kind}}>;
@group(0) @binding(1) var<storage, read_write> y: array<{{kind}}>;

fn place(start: u32, i: u32) -> u32 {
    return start + {{index}} * p.inner;
}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let row = group_number(at) * 64u + at.lane;
    if row >= p.rows {
        return;
    }
    let start = (row / p.inner) * p.size * p.inner + row % p.inner;
    var sum = {{kind}}(0);
    if p.first > 0u {
        let before = place(start, p.first - 1u);
        sum = {{before}};
    }
    for (var i = p.first; i < p.behind; i++) {
        let own = place(start, i);
        let next = sum + x[own];
        y[own] = {{result}};
        sum = next;
    }
}
