// Report of a bad element, which fails the run. The first step that reports is kept; the host reads it later.
@group(0) @binding(7) var<storage, read_write> fault: array<atomic<u32>>;

fn report_fault(step: u32) {
    atomicMax(&fault[0], 0xffffffffu - step);
}
