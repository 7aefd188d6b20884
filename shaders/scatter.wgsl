// Updates combined into a copy of the data: one invocation per lane, so updates of one element run in order.
#include grid
#include math
#include fault
#include index

struct Params {
    lanes: u32,
    // The updates of a lane in this dispatch.
    first: u32,
    behind: u32,
    step: u32,
{{fields}}
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> indices: array<i32>;
@group(0) @binding(1) var<storage, read> updates: array<{{kind}}>;
@group(0) @binding(2) var<storage, read_write> y: array<{{kind}}>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = group_number(at) * 64u + at.lane;
    if lane >= p.lanes {
        return;
    }
    var rest = lane;
    // First element of the lane, in the updates and in `y`.
    var update_at = 0u;
    var y_at = 0u;
{{lane}}
    for (var j = p.first; j < p.behind; j++) {
{{places}}
        let old = y[place];
        let next = updates[update];
        y[place] = {{join}};
    }
}
