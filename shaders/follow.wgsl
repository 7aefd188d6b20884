// Epilogue of a product whose sums are stored, in place: y = activation(y scale + bias) + residual.
#include grid
#include math

struct Params {
    count: u32,
    n: u32,
    scale: f32,
}
var<immediate> p: Params;

{{bindings}}

@compute @workgroup_size(256)
fn main(here: Invocation) {
    let at = group_number(here) * 256u + here.lane;
    if at >= p.count {
        return;
    }
    let own = at % p.n;
    var v = y[at] * p.scale{{bias}};
    v = {{activation}};
    y[at] = v{{residual}};
}
