// Word of an element that makes the run fail. The first step that has one is kept: the host reads it with the results.
@group(0) @binding(7) var<storage, read_write> fault: array<atomic<u32>>;

fn report_fault(step: u32) {
    atomicMax(&fault[0], 0xffffffffu - step);
}
