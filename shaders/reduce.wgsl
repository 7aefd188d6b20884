// Reduction along some axes: one workgroup per result.
#include grid
#include math
#include row

struct Params {
    results: u32,
    // Number of elements that are reduced to one.
    count: u32,
    // Sizes and strides in `x` of the kept axes, and of the reduced axes, from the last to the first.
    kept: array<u32, 4>,
    kept_step: array<u32, 4>,
    gone: array<u32, 4>,
    gone_step: array<u32, 4>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> part: array<f32, 64>;

fn combine(a: f32, b: f32) -> f32 {
    return {{combine}};
}

// Combines the partial results of all invocations.
fn whole(lane: u32, own: f32) -> f32 {
    part[lane] = own;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width >> 1u) {
        if lane < width {
            part[lane] = combine(part[lane], part[lane + width]);
        }
        workgroupBarrier();
    }
    return part[0];
}

fn position(start: u32, index: u32) -> u32 {
    var rest = index;
    var at = start;
{{gone}}
    return at;
}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let result = group_number(at);
    if result >= p.results {
        return;
    }
    var rest = result;
    var start = 0u;
{{kept}}
{{before}}
    var own = {{first}};
    for (var i = lane; i < p.count; i += 64u) {
        let v = x[position(start, i)];
        own = combine(own, {{each}});
    }
    let total = {{whole}}(lane, own);
    if lane == 0u {
        y[result] = {{last}};
    }
}
