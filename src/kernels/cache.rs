//! The size of a core's second-level cache.

use std::sync::OnceLock;

/// The size assumed if the system does not report one.
const DEFAULT: usize = 1 << 20;

/// Bytes of one core's second-level cache.
pub fn l2_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| read_l2().unwrap_or(DEFAULT))
}

#[cfg(target_os = "linux")]
fn read_l2() -> Option<usize> {
    let folder = std::path::Path::new("/sys/devices/system/cpu/cpu0/cache");
    (0..8).find_map(|index| {
        let read = |name: &str| std::fs::read_to_string(folder.join(format!("index{index}/{name}"))).ok();
        if read("level")?.trim() != "2" {
            return None;
        }
        let size = read("size")?;
        let (number, unit) = size.trim().split_at(size.trim().find(|c: char| !c.is_ascii_digit())?);
        let factor = match unit {
            "K" => 1 << 10,
            "M" => 1 << 20,
            _ => return None,
        };
        number.parse::<usize>().ok()?.checked_mul(factor)
    })
}

#[cfg(not(target_os = "linux"))]
fn read_l2() -> Option<usize> {
    None
}
