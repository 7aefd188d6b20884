// Sums and maxima over the invocations of a workgroup, in a fixed tree.
var<workgroup> row_part: array<f32, 64>;

fn row_sum(lane: u32, own: f32) -> f32 {
    row_part[lane] = own;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width >> 1u) {
        if lane < width {
            row_part[lane] += row_part[lane + width];
        }
        workgroupBarrier();
    }
    let total = row_part[0];
    workgroupBarrier();
    return total;
}

fn row_max(lane: u32, own: f32) -> f32 {
    row_part[lane] = own;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width = width >> 1u) {
        if lane < width {
            row_part[lane] = larger(row_part[lane], row_part[lane + width]);
        }
        workgroupBarrier();
    }
    let largest = row_part[0];
    workgroupBarrier();
    return largest;
}
