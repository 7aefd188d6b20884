// Like row: each subgroup reduces its own, then all combine the subgroups' results in order. Works for any size.
var<workgroup> row_part: array<f32, 64>;

fn row_sum(lane: u32, own: f32) -> f32 {
    let sum = subgroupAdd(own);
    if own_place == 0u {
        row_part[own_subgroup] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < own_subgroups; i++) {
        total += row_part[i];
    }
    workgroupBarrier();
    return total;
}

fn row_max(lane: u32, own: f32) -> f32 {
    // Drivers may drop NaN; it is restored.
    let most = subgroupMax(select(own, -infinity(), is_nan(own)));
    let lost = subgroupAny(is_nan(own));
    if own_place == 0u {
        row_part[own_subgroup] = select(most, bitcast<f32>(bitcast<u32>(infinity()) | 0x400000u), lost);
    }
    workgroupBarrier();
    var largest = row_part[0];
    for (var i = 1u; i < own_subgroups; i++) {
        largest = larger(largest, row_part[i]);
    }
    workgroupBarrier();
    return largest;
}
