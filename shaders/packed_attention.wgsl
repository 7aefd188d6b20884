// Attention within each sequence of a packed batch: one workgroup per 64 rows of a head, one invocation per query. A row
// takes its keys one by one, so its sums do not depend on other sequences.
#include grid
#include fault

const KEYS = {{keys}}u;

struct Params {
    rows: u32,
    sequences: u32,
    heads: u32,
    // Heads in a row that share keys and values.
    sharing: u32,
    groups: u32,
    step: u32,
    scale: f32,
    // Distances from a query to the first and to the last key that it sees.
    before: u32,
    behind: u32,
    // The distance from which on all are alike.
    most: u32,
}
var<immediate> p: Params;

{{bindings}}

var<workgroup> k_tile: array<vec4<f32>, KEYS * {{d4}}u>;
var<workgroup> v_tile: array<vec4<f32>, KEYS * {{e4}}u>;
var<private> head: u32;
// The first columns of the head's queries, keys and values.
var<private> query_column: u32;
var<private> key_column: u32;
var<private> value_column: u32;
// Columns of a row.
var<private> width: u32;

// Four columns of a row's part that begins at `column`; zeros past the end.
fn load(row: u32, end: u32, column: u32, part: u32) -> vec4<f32> {
    if row >= end {
        return vec4<f32>();
    }
    let at = row * width + column + part * 4u;
{{load}}
}

fn load_k(key: u32, end: u32, part: u32) -> vec4<f32> {
    return load(key, end, key_column, part);
}

fn load_v(key: u32, end: u32, part: u32) -> vec4<f32> {
    return load(key, end, value_column, part);
}

#include segment

// The place of a distance among those from -most to most.
fn distance_place(ahead: u32, behind: u32) -> u32 {
    let most = i32(p.most);
    return u32(clamp(i32(behind) - i32(ahead), -most, most) + most);
}
{{functions}}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let number = group_number(at);
    if number >= p.groups {
        return;
    }
    head = number % p.heads;
    let key_heads = p.heads / p.sharing;
    query_column = head * {{d}}u;
    key_column = (p.heads + head / p.sharing) * {{d}}u;
    value_column = key_column + key_heads * {{d}}u;
    width = (p.heads + 2u * key_heads) * {{d}}u;
    let first_row = (number / p.heads) * 64u;
    let row = first_row + lane;
    let rows_end = min(first_row + 64u, p.rows);
{{query}}
    var largest = -3.4028235e38;
    var sum = 0.0;
{{zeros}}
    for (var sequence = sequence_at(first_row, p.sequences); sequence < p.sequences; sequence++) {
        let start = u32(offsets[sequence]);
        let end = u32(offsets[sequence + 1u]);
        if start >= rows_end {
            break;
        }
        if end < start || end > p.rows {
            report_fault(p.step);
            break;
        }
        if end <= first_row {
            continue;
        }
        let mine = row >= start && row < end;
        // The keys that any of the sequence's rows in this workgroup sees.
        let lowest = max(start, first_row);
        let highest = min(end, rows_end) - 1u;
        let first_key = lowest - min(lowest - start, p.before);
        var keys_end = select(end, highest + 1u + p.behind, end - 1u - highest > p.behind);
{{visible}}
#include attention
    }
    // A row that sees no key.
    sum = select(sum, 1.0, sum == 0.0);
    if row < p.rows {
        let at = (row * p.heads + head) * {{d}}u;
{{store}}
    }
}
