// Attention over padded batches: one workgroup per 64 queries of a head, one invocation per query.
#include grid

const KEYS = {{keys}}u;

struct Params {
    heads: u32,
    queries: u32,
    keys: u32,
    // Tiles of 64 queries.
    tiles: u32,
    groups: u32,
    scale: f32,
    // Strides of the mask along batch, heads, queries and keys.
    mask_step: array<u32, 4>,
}
var<immediate> p: Params;

{{bindings}}

var<workgroup> k_tile: array<vec4<f32>, KEYS * {{d4}}u>;
var<workgroup> v_tile: array<vec4<f32>, KEYS * {{e4}}u>;
// The head, counted over all items.
var<private> head: u32;

fn load_q(row: u32, end: u32, part: u32) -> vec4<f32> {
    if row >= end {
        return vec4<f32>();
    }
    let at = (head * p.queries + row) * {{d}}u + part * 4u;
{{load_q}}
}

fn load_k(row: u32, end: u32, part: u32) -> vec4<f32> {
    if row >= end {
        return vec4<f32>();
    }
    let at = (head * p.keys + row) * {{d}}u + part * 4u;
{{load_k}}
}

fn load_v(row: u32, end: u32, part: u32) -> vec4<f32> {
    if row >= end {
        return vec4<f32>();
    }
    let at = (head * p.keys + row) * {{e}}u + part * 4u;
{{load_v}}
}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let number = group_number(at);
    if number >= p.groups {
        return;
    }
    head = number / p.tiles;
    let row = (number % p.tiles) * 64u + lane;
    let mine = row < p.queries;
    let first_key = 0u;
    let keys_end = p.keys;
    let mask_at = (head / p.heads) * p.mask_step[0] + (head % p.heads) * p.mask_step[1] + row * p.mask_step[2];
{{query}}
    var largest = -3.4028235e38;
    var sum = 0.0;
{{zeros}}
    {
#include attention
    }
    if mine {
        let at = (head * p.queries + row) * {{e}}u;
{{store}}
    }
}
