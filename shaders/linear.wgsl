// y = activation(x w + bias) + residual. The columns of w may be in several parts, with one dispatch each.
#include grid
#include math

struct Params {
    m: u32,
    k: u32,
    n: u32,
    // Tiles across this part, its first column, and columns of a row of `w`.
    tiles: u32,
    first: u32,
    width: u32,
    groups: u32,
    // Factor that undoes the scale of `w`.
    scale: f32,
}
var<immediate> p: Params;

{{bindings}}

fn load_a(row: u32, k: u32) -> vec4<f32> {
    if row >= p.m {
        return vec4<f32>();
    }
    let at = row * p.k + k;
{{load_a}}
}

fn load_b(k: u32, column: u32) -> vec4<f32> {
{{load_b}}
}

fn put(row: u32, column: u32, sum: f32) {
    let own = column + p.first;
    if row >= p.m || own >= p.n || column >= p.width {
        return;
    }
    let at = row * p.n + own;
    var v = sum * p.scale{{bias}};
    v = {{activation}};
    y[at] = v{{residual}};
}

#include product

@compute @workgroup_size({{workgroup}})
fn main(at: Invocation) {
    let tile = group_number(at);
    if tile >= p.groups {
        return;
    }
    product((tile / p.tiles) * BM, (tile % p.tiles) * BN, p.k, at.lane);
}
