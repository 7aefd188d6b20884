// Sort keys of elements; includes math.

// NaN is above all numbers; zeros of both signs are equal.
fn key_of_float(bits: u32) -> u32 {
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return 0xffffffffu;
    }
    if (bits << 1u) == 0u {
        return 0x80000000u;
    }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) != 0u);
}

fn key_of_integer(bits: u32) -> u32 {
    return bits ^ 0x80000000u;
}

struct Ranked {
    key: u32,
    // All ones if there is none.
    index: u32,
}

const NONE = Ranked(0u, 0xffffffffu);

// Returns the one that comes first.
fn first_of(a: Ranked, b: Ranked) -> Ranked {
    if b.index == 0xffffffffu || (a.index != 0xffffffffu && stands_before(a, b)) {
        return a;
    }
    return b;
}

fn stands_before(a: Ranked, b: Ranked) -> bool {
    return a.key > b.key || (a.key == b.key && a.index {{before}} b.index);
}

var<workgroup> ranked: array<Ranked, 64>;

// Returns the first of all invocations.
fn first_of_all(lane: u32, own: Ranked) -> Ranked {
    ranked[lane] = own;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width >> 1u) {
        if lane < width {
            ranked[lane] = first_of(ranked[lane], ranked[lane + width]);
        }
        workgroupBarrier();
    }
    let first = ranked[0];
    workgroupBarrier();
    return first;
}
