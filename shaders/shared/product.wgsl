// One tile of a product A B: BM x BN results, BK summands at a time, TM x TN results an invocation in registers.
//
// The including shader defines `load_a(row, k)`, which returns A[row, k .. k + 4], `load_b(k, column)`, which returns
// B[k, column .. column + 4], both with zeros out of range, and `put(row, column, sum)`, which stores if in range.
const BM = {{bm}}u;
const BN = {{bn}}u;
const BK = {{bk}}u;
const TM = {{tm}}u;
const TN = {{tn}}u;
const THREADS = {{threads}}u;

// Stored by summand, so that adjacent rows of the tile are adjacent in memory.
var<workgroup> a_tile: array<f32, BM * BK>;
var<workgroup> b_tile: array<vec4<f32>, BK * BN / 4u>;

fn product(first_row: u32, first_column: u32, summands: u32, lane: u32) {
    let own_row = (lane / (BN / TN)) * TM;
    let own_column = (lane % (BN / TN)) * TN;
{{zeros}}
    for (var k0 = 0u; k0 < summands; k0 += BK) {
        for (var i = lane; i < BM * BK / 4u; i += THREADS) {
            let row = i / (BK / 4u);
            let k = (i % (BK / 4u)) * 4u;
            let a = load_a(first_row + row, k0 + k);
            a_tile[k * BM + row] = a.x;
            a_tile[(k + 1u) * BM + row] = a.y;
            a_tile[(k + 2u) * BM + row] = a.z;
            a_tile[(k + 3u) * BM + row] = a.w;
        }
        for (var i = lane; i < BK * BN / 4u; i += THREADS) {
            b_tile[i] = load_b(k0 + i / (BN / 4u), first_column + (i % (BN / 4u)) * 4u);
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            let a_first = k * BM + own_row;
            let b_first = (k * BN + own_column) / 4u;
{{multiply}}
        }
        workgroupBarrier();
    }
{{store}}
}
