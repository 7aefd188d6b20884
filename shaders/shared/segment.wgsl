// The sequences of packed rows, which begin at `offsets`.

// The last sequence that begins at or before the row.
fn sequence_at(row: u32, sequences: u32) -> u32 {
    var low = 0u;
    var high = sequences;
    while low + 1u < high {
        let middle = (low + high) / 2u;
        if u32(offsets[middle]) <= row {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
