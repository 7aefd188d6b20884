// Convolution as an implicit product: a row of A is a window of the input; B holds the weights of one group.
#include grid
#include math

const KERNEL = vec3<u32>({{kernel}});
const STRIDE = vec3<u32>({{stride}});
const DILATION = vec3<u32>({{dilation}});

struct Params {
    // Windows of all items, summands, filters of a group.
    m: u32,
    k: u32,
    n: u32,
    // Channels of a group.
    channels: u32,
    tiles: u32,
    tiles_of_group: u32,
    groups: u32,
    // Columns of a row of `w`, and elements of a group's `w` divided by four.
    width: u32,
    group_weights: u32,
    // Depth, height and width.
    size: array<u32, 3>,
    out: array<u32, 3>,
    pads: array<u32, 3>,
    // Strides along items, channels and positions.
    x_step: array<u32, 3>,
    y_step: array<u32, 3>,
    // Factor that undoes the scale of `w`.
    scale: f32,
}
var<immediate> p: Params;

{{bindings}}

// The group of the current tile.
var<private> own_group: u32;

struct Window {
    // Offset of its item and group in the input, and its first tap, which may wrap.
    start: u32,
    z: u32,
    y: u32,
    x: u32,
}

// The first tap of the window at a position of an axis; it may wrap.
fn first_tap(at: u32, stride: u32, pad: u32) -> u32 {
    return {{first_tap}};
}

// The position of a tap in the input; past the input's end if it is none.
fn tap_place(first: u32, tap: u32, stride: u32, dilation: u32) -> u32 {
{{place}}
}

fn window(row: u32) -> Window {
    let positions = p.out[0] * p.out[1] * p.out[2];
    let at = row % positions;
    return Window(
        (row / positions) * p.x_step[0] + own_group * p.channels * p.x_step[1],
        first_tap(at / (p.out[1] * p.out[2]), STRIDE.x, p.pads[0]),
        first_tap((at / p.out[2]) % p.out[1], STRIDE.y, p.pads[1]),
        first_tap(at % p.out[2], STRIDE.z, p.pads[2]),
    );
}

// The index of a summand in the input, or all ones if it is padding.
fn summand(window: Window, k: u32) -> u32 {
    let tap = k / p.channels;
    let z = tap_place(window.z, tap / (KERNEL.y * KERNEL.z), STRIDE.x, DILATION.x);
    let y = tap_place(window.y, (tap / KERNEL.z) % KERNEL.y, STRIDE.y, DILATION.y);
    let x = tap_place(window.x, tap % KERNEL.z, STRIDE.z, DILATION.z);
    if k >= p.k || z >= p.size[0] || y >= p.size[1] || x >= p.size[2] {
        return 0xffffffffu;
    }
    return window.start + (k % p.channels) * p.x_step[1] + ((z * p.size[1] + y) * p.size[2] + x) * p.x_step[2];
}

fn input_at(at: u32) -> f32 {
    if at == 0xffffffffu {
        return 0.0;
    }
    return x[at];
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
    if row >= p.m {
        return vec4<f32>();
    }
    let own = window(row);
{{load_a}}
}

fn load_b(k: u32, column: u32) -> vec4<f32> {
{{load_b}}
}

fn put(row: u32, column: u32, sum: f32) {
    if row >= p.m || column >= p.n {
        return;
    }
    let filter_number = own_group * p.n + column;
    let positions = p.out[0] * p.out[1] * p.out[2];
    var v = sum * p.scale{{bias}};
    v = {{activation}};
    y[(row / positions) * p.y_step[0] + filter_number * p.y_step[1] + (row % positions) * p.y_step[2]] = v;
}

#include product

@compute @workgroup_size({{workgroup}})
fn main(at: Invocation) {
    let number = group_number(at);
    if number >= p.groups {
        return;
    }
    own_group = number / p.tiles_of_group;
    let tile = number % p.tiles_of_group;
    product((tile / p.tiles) * BM, (tile % p.tiles) * BN, p.k, at.lane);
}
