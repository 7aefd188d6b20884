// Reduction of the windows of each channel: one invocation per window.
#include grid
#include math

const KERNEL = vec3<u32>({{kernel}});
const STRIDE = vec3<u32>({{stride}});
const DILATION = vec3<u32>({{dilation}});

struct Params {
    count: u32,
    // Depth, height and width.
    size: array<u32, 3>,
    out: array<u32, 3>,
    before: array<u32, 3>,
    behind: array<u32, 3>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(at: Invocation) {
    let i = group_number(at) * 64u + at.lane;
    if i >= p.count {
        return;
    }
    let plane = i / (p.out[0] * p.out[1] * p.out[2]);
    // The position of a tap, counted from the first padded position.
    let first = vec3<u32>((i / (p.out[1] * p.out[2])) % p.out[0], (i / p.out[2]) % p.out[1], i % p.out[2]) * STRIDE;
    var made = {{first}};
    // Taps within the operand, and within its padding.
    var taps = 0u;
    var padded = 0u;
    for (var a = 0u; a < KERNEL.x; a++) {
        let z = first.x + a * DILATION.x;
        for (var b = 0u; b < KERNEL.y; b++) {
            let r = first.y + b * DILATION.y;
            for (var c = 0u; c < KERNEL.z; c++) {
                let s = first.z + c * DILATION.z;
                if z >= p.before[0] + p.size[0] + p.behind[0] || r >= p.before[1] + p.size[1] + p.behind[1] ||
                    s >= p.before[2] + p.size[2] + p.behind[2] {
                    continue;
                }
                padded++;
                // Positions before the first wrap to large numbers.
                let own = vec3<u32>(z - p.before[0], r - p.before[1], s - p.before[2]);
                if own.x < p.size[0] && own.y < p.size[1] && own.z < p.size[2] {
                    taps++;
                    let v = x[((plane * p.size[0] + own.x) * p.size[1] + own.y) * p.size[2] + own.z];
                    made = {{combine}};
                }
            }
        }
    }
    y[i] = {{last}};
}
