// (x - mean) * scale / sqrt(variance + epsilon) + bias, with parameters per channel: one invocation per element.
#include grid

struct Params {
    count: u32,
    channels: u32,
    // Elements of a channel of an item.
    plane: u32,
    epsilon: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(at: Invocation) {
    let i = group_number(at) * 256u + at.lane;
    if i >= p.count {
        return;
    }
    let own = (i / p.plane) % p.channels;
    y[i] = (x[i] - mean[own]) * (scale[own] / sqrt(variance[own] + p.epsilon)) + bias[own];
}
