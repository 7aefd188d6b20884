// Attention within each sequence of a packed batch: one workgroup per 64 rows of a head, one invocation per query.
// Tiles of keys start at their sequence's start, so the sums of a row do not depend on other sequences.
#include grid
#include fault

const KEYS = {{keys}}u;

struct Params {
    rows: u32,
    sequences: u32,
    heads: u32,
    groups: u32,
    step: u32,
    scale: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> qkv: array<{{kind}}>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> k_tile: array<vec4<f32>, KEYS * {{d4}}u>;
var<workgroup> v_tile: array<vec4<f32>, KEYS * {{e4}}u>;
var<private> head: u32;

// Four columns of a row's query (0), key (1) or value (2); zeros past the end.
fn load(row: u32, end: u32, which: u32, part: u32) -> vec4<f32> {
    if row >= end {
        return vec4<f32>();
    }
    let at = ((row * 3u + which) * p.heads + head) * {{d}}u + part * 4u;
{{load}}
}

fn load_k(key: u32, end: u32, part: u32) -> vec4<f32> {
    return load(key, end, 1u, part);
}

fn load_v(key: u32, end: u32, part: u32) -> vec4<f32> {
    return load(key, end, 2u, part);
}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let number = group_number(at);
    if number >= p.groups {
        return;
    }
    head = number % p.heads;
    let first_row = (number / p.heads) * 64u;
    let row = first_row + lane;
    let behind = min(first_row + 64u, p.rows);
{{query}}
    var largest = -3.4028235e38;
    var sum = 0.0;
{{zeros}}
    // The last sequence that starts at or before the first row.
    var low = 0u;
    var high = p.sequences;
    while low + 1u < high {
        let middle = (low + high) / 2u;
        if u32(offsets[middle]) <= first_row {
            low = middle;
        } else {
            high = middle;
        }
    }
    for (var sequence = low; sequence < p.sequences; sequence++) {
        let start = u32(offsets[sequence]);
        let end = u32(offsets[sequence + 1u]);
        if start >= behind {
            break;
        }
        if end < start || end > p.rows {
            report_fault(p.step);
            break;
        }
        let mine = row >= start && row < end;
#include attention
    }
    if row < p.rows {
        let at = (row * p.heads + head) * {{d}}u;
{{store}}
    }
}
