// Heads of packed rows, normalized and turned by the rows' positions: a workgroup per head of queries, keys or values.
#include grid
#include math
#include fault
#include row

struct Params {
    groups: u32,
    // Heads of a row; those of queries, and those of queries and keys.
    all: u32,
    queries: u32,
    turned: u32,
    // Columns of a head; pairs of columns that are turned; rows of the tables.
    columns: u32,
    pairs: u32,
    positions: u32,
    step: u32,
    epsilon: f32,
}
var<immediate> p: Params;

{{bindings}}

var<private> start: u32;
var<private> head: u32;
var<private> factor: f32;

// A column of the head, normalized.
fn column(i: u32) -> f32 {
    return {{column}};
}

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let lane = at.lane;
    let number = group_number(at);
    if number >= p.groups {
        return;
    }
    head = number % p.all;
    start = number * p.columns;
    if head >= p.turned {
        for (var i = lane; i < p.columns; i += 64u) {
            y[start + i] = qkv[start + i];
        }
        return;
    }
{{length}}
{{position}}
    for (var i = lane; i < p.columns; i += 64u) {
        var own = column(i);
{{turn}}
        y[start + i] = own;
    }
}
