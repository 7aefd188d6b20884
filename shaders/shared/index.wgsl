// Indices that count from the end where they are negative; includes fault.

// An index into an axis of that size; 0 where it is outside, which is told.
fn resolve(index: i32, size: u32, step: u32) -> u32 {
    let own = u32(select(index, index + i32(size), index < 0));
    if own >= size {
        report_fault(step);
        return 0u;
    }
    return own;
}
