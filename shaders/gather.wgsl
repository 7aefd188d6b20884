// y[o, j, c] = x[o, indices[j], c]. A table in several parts has one dispatch per part, which writes that part's rows.
#include grid
#include fault

struct Params {
    // Elements of a row, indices, rows of the whole table.
    inner: u32,
    indices: u32,
    rows: u32,
    // The rows of this part.
    first: u32,
    part: u32,
    count: u32,
    // The row for an index out of range; all ones if that is an error.
    outside: u32,
    step: u32,
    // Factor that undoes the scale of a table in f16.
    scale: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    let column = i % p.inner;
    let place = i / p.inner;
    let outer = place / p.indices;
    var index = indices[place % p.indices];
    if p.outside == 0xffffffffu && index < 0 {
        index += i32(p.rows);
    }
    var row = u32(index);
    if index < 0 || row >= p.rows {
        if p.outside == 0xffffffffu {
            report_fault(p.step);
            return;
        }
        row = p.outside;
    }
    // A row before the part's first wraps to a large number.
    let own = row - p.first;
    if own < p.part {
        let at = (outer * p.part + own) * p.inner + column;
        y[i] = {{element}};
    }
}
