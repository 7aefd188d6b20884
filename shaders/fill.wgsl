// Elements computed from their index: constants, ranges, diagonals, triangles, one-hot rows.
#include grid
#include math

struct Params {
    count: u32,
    // Sizes by which an index is split into row and column.
    inner: u32,
    outer: u32,
    a: u32,
    b: u32,
}
var<immediate> p: Params;

{{bindings}}

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    let column = i % p.inner;
    let row = (i / p.inner) % p.outer;
    y[i] = {{value}};
}
