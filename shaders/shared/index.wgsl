// Indices that count from the end if negative; includes fault.

// Resolves an index into an axis of this size; reports an index out of range and returns 0.
fn resolve(index: i32, size: u32, step: u32) -> u32 {
    let own = u32(select(index, index + i32(size), index < 0));
    if own >= size {
        report_fault(step);
        return 0u;
    }
    return own;
}
