// y = x w by cooperative matrices of 16 x 16: a workgroup is one subgroup of 32 invocations, and makes 64 x 64 results.
//
// Operands are read and results stored where they lie. Workgroup memory is not used on the way: of what is written there,
// nothing is made visible to cooperative loads (gfx-rs/wgpu#8805).
{{enable}}

struct Params {
    // Rows, at least 16; summands, a multiple of 16; columns of `y`.
    m: u32,
    k: u32,
    n: u32,
    // Tiles next to one another in this part, the part's first column, its columns, and columns of a row of `w`.
    tiles: u32,
    first: u32,
    columns: u32,
    width: u32,
    groups: u32,
}
var<immediate> p: Params;

{{bindings}}
{{functions}}
// The last rows are those of a matrix that ends with them: what two matrices have in common is stored twice, alike.
fn row_of(row: u32) -> u32 {
    return min(row, p.m - 16u);
}

// Arguments one by one: what all invocations have in common is seen to be so.
@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group.y * groups.x + group.x;
    if tile >= p.groups {
        return;
    }
    let first_row = (tile / p.tiles) * 64u;
    let first_column = (tile % p.tiles) * 64u;
{{zeros}}
    for (var k = 0u; k < p.k; k += 16u) {
{{multiply}}
    }
{{store}}
}
