// y = alpha a b + beta c for each matrix; operands are strided, so either may be transposed or broadcast.
#include grid

struct Params {
    m: u32,
    k: u32,
    n: u32,
    // Tiles across a matrix, tiles of a matrix, tiles of all matrices.
    tiles: u32,
    tiles_of_matrix: u32,
    groups: u32,
    // Strides along rows and columns.
    a_row: u32,
    a_k: u32,
    b_k: u32,
    b_column: u32,
    c_row: u32,
    c_column: u32,
    alpha: f32,
    beta: f32,
    // Sizes, and strides in `a` and `b`, of the leading axes from the last to the first.
    size: array<u32, 4>,
    a_step: array<u32, 4>,
    b_step: array<u32, 4>,
}
var<immediate> p: Params;

{{bindings}}

// First elements of the matrices of the current tile.
var<private> a_start: u32;
var<private> b_start: u32;
var<private> y_start: u32;

fn a_at(row: u32, k: u32) -> f32 {
    // Indices out of range are clamped, and the loaded value is replaced by 0.
    return select(0.0, a[select(0u, a_start + row * p.a_row + k * p.a_k, k < p.k)], k < p.k);
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
    if row >= p.m {
        return vec4<f32>();
    }
    return vec4<f32>(a_at(row, k), a_at(row, k + 1u), a_at(row, k + 2u), a_at(row, k + 3u));
}

fn b_at(k: u32, column: u32) -> f32 {
    let inside = k < p.k && column < p.n;
    return select(0.0, b[select(0u, b_start + k * p.b_k + column * p.b_column, inside)], inside);
}

fn load_b(k: u32, column: u32) -> vec4<f32> {
    return vec4<f32>(b_at(k, column), b_at(k, column + 1u), b_at(k, column + 2u), b_at(k, column + 3u));
}

fn put(row: u32, column: u32, sum: f32) {
    if row >= p.m || column >= p.n {
        return;
    }
    y[y_start + row * p.n + column] = {{result}};
}

#include product

@compute @workgroup_size({{workgroup}})
fn main(at: Invocation) {
    let number = group_number(at);
    if number >= p.groups {
        return;
    }
    let matrix = number / p.tiles_of_matrix;
    let tile = number % p.tiles_of_matrix;
    y_start = matrix * p.m * p.n;
    a_start = 0u;
    b_start = 0u;
    var rest = matrix;
{{leading}}
    product((tile / p.tiles) * BM, (tile % p.tiles) * BN, p.k, at.lane);
}
