// A grid sampled at other distances along up to three axes: an invocation per number of the result.
#include grid

struct Params {
    count: u32,
    // Of each resized axis the operand's and the result's size, and the numbers of a position behind it.
    size: array<u32, 3>,
    out: array<u32, 3>,
    behind: array<u32, 3>,
}
var<immediate> p: Params;

{{bindings}}

// The place of positions along the resized axes; `kept` are the positions in front of and behind each.
fn place(kept: array<u32, 4>, own: array<u32, 3>) -> u32 {
    let first = (kept[0] * p.size[0] + own[0]) * p.behind[0] + kept[1];
    let second = (first * p.size[1] + own[1]) * p.behind[1] + kept[2];
    return (second * p.size[2] + own[2]) * p.behind[2] + kept[3];
}

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    var kept: array<u32, 4>;
    var own: array<u32, 3>;
    var rest = i;
    kept[3] = rest % p.behind[2];
    rest /= p.behind[2];
    own[2] = rest % p.out[2];
    rest /= p.out[2];
    kept[2] = rest % p.behind[1];
    rest /= p.behind[1];
    own[1] = rest % p.out[1];
    rest /= p.out[1];
    kept[1] = rest % p.behind[0];
    rest /= p.behind[0];
    own[0] = rest % p.out[0];
    kept[0] = rest / p.out[0];
{{sample}}
}
