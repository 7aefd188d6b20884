// Rounds rows of f32 to f16, padded with zeros: one invocation per two numbers.
#include grid

struct Params {
    rows: u32,
    k: u32,
    // Words of a row that is written.
    width: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

fn half_at(row: u32, k: u32) -> u32 {
    if k >= p.k {
        return 0u;
    }
    let number = x[row * p.k + k];
    let bits = bitcast<u32>(number);
    let magnitude = bits & 0x7fffffffu;
    // Packing is undefined from 65520 on: store infinity, and NaN for NaN.
    if magnitude >= 0x477ff000u {
        return ((bits >> 16u) & 0x8000u) | select(0x7c00u, 0x7e00u, magnitude > 0x7f800000u);
    }
    return pack2x16float(vec2<f32>(number, 0.0)) & 0xffffu;
}

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.rows * p.width {
        return;
    }
    let row = i / p.width;
    let k = (i % p.width) * 2u;
    y[i] = half_at(row, k) | (half_at(row, k + 1u) << 16u);
}
