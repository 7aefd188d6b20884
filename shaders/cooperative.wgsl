// y = x w by cooperative matrices of 16 x 16: a workgroup is one subgroup of 32 invocations, for 64 x 64 results.
//
// Matrices are loaded from and stored to storage buffers directly. Workgroup memory would not do: writes to it are not
// made visible to cooperative loads (gfx-rs/wgpu#8805).
{{enable}}

struct Params {
    // Rows, at least 16; summands, a multiple of 16; columns of `y`.
    m: u32,
    k: u32,
    n: u32,
    // Tiles across this part, its first column, its columns, and columns of a row of `w`.
    tiles: u32,
    first: u32,
    columns: u32,
    width: u32,
    groups: u32,
}
var<immediate> p: Params;

{{bindings}}
{{functions}}
// The last matrix ends with the last row: rows shared by two matrices are stored twice, with equal values.
fn row_of(row: u32) -> u32 {
    return min(row, p.m - 16u);
}

// Scalar arguments, so that the compiler sees that they are uniform.
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
