// Padding or cropping at the ends of axes: each element of the result computes its source along every axis.
#include grid

struct Params {
    count: u32,
    // The word of an element without a source.
    value: u32,
    // From the last axis to the first: sizes of the result, padding before the operand, sizes of the operand.
    size: array<u32, 8>,
    before: array<i32, 8>,
    own: array<u32, 8>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

// The operand's index for a position that may be out of range.
fn source(place: i32, size: i32) -> i32 {
    return {{source}};
}

// The remainder of a division, never negative.
fn rest_of(a: i32, b: i32) -> i32 {
    let rest = a % b;
    return select(rest, rest + b, rest < 0);
}

fn reflect(place: i32, size: i32) -> i32 {
    let period = max(2 * (size - 1), 1);
    let at = rest_of(place, period);
    return select(period - at, at, at < size);
}

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    var rest = i;
    var x_at = 0u;
    var step = 1u;
    var inside = true;
    var own = 0;
{{axes}}
    var made = p.value;
    if inside {
        made = x[x_at];
    }
    y[i] = made;
}
