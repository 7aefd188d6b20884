//! AMX: detection of tiles of bf16 and of bytes, and the system's permission to use them.

use std::sync::OnceLock;

/// Availability of AMX to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amx {
    /// The processor or the system lacks it.
    Absent,
    /// The processor has it, and the system denied permission.
    Refused,
    /// It can be used.
    Ready,
}

/// Detects AMX and requests permission, once per process.
pub(crate) fn amx() -> Amx {
    static AMX: OnceLock<Amx> = OnceLock::new();
    *AMX.get_or_init(|| match (present(), cfg!(target_os = "linux")) {
        (true, true) if permitted() => Amx::Ready,
        (true, true) => Amx::Refused,
        _ => Amx::Absent,
    })
}

/// Whether the processor has tiles of the kernels' size, and the system saves their state.
fn present() -> bool {
    use std::arch::x86_64::__cpuid_count;
    #[allow(unused_unsafe, reason = "safe to call in later versions of the compiler")]
    // SAFETY: every processor that runs this architecture has the instruction.
    let cpuid = |leaf, sub| unsafe { __cpuid_count(leaf, sub) };
    // AMX-BF16, AMX-TILE and AMX-INT8, and the configuration and data among the states that the system saves.
    let has = |register: u32, bits: u32| register & bits == bits;
    if cpuid(0, 0).eax < 0x1d || !has(cpuid(7, 0).edx, 1 << 22 | 1 << 24 | 1 << 25) || !has(cpuid(1, 0).ecx, 1 << 27) {
        return false;
    }
    // SAFETY: bit 27 of leaf 1 means that the system has enabled the instruction.
    let saved = unsafe { saved_states() };
    // The first palette: eight tiles, each of sixteen rows of 64 bytes.
    let palette = cpuid(0x1d, 1);
    saved & (0b11 << 17) == 0b11 << 17
        && palette.ebx & 0xffff >= 64
        && palette.ebx >> 16 >= 8
        && palette.ecx & 0xffff >= 16
}

/// The states that the system saves at a context switch.
#[target_feature(enable = "xsave")]
fn saved_states() -> u64 {
    // SAFETY: register 0 exists on every processor that has the instruction.
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// Requests permission from the system, which a process needs before it touches a tile.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    // ARCH_REQ_XCOMP_PERM, of the state XTILEDATA.
    const REQUEST: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(miri, ignore = "asks the processor and the system")]
    fn detection_is_repeatable() {
        println!("amx: {:?}", super::amx());
        assert_eq!(super::amx(), super::amx());
    }
}
