//! What is asked of the operating system, with a plain fallback where it is not Linux.

use std::{fs, thread};

/// How many threads can run at once: cores, less what affinity and quotas take away; at least 1.
pub(crate) fn parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The process's largest resident set so far in bytes, where the system tells.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    status_field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// A field of `/proc/self/status`, which counts in kB.
fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_its_line() {
        let status = "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(status_field(status, "VmHWM:"), Some(1234 * 1024));
        assert_eq!(status_field("VmHWM:\t12 MB\n", "VmHWM:"), None);
        assert_eq!(status_field("", "VmHWM:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells() {
        assert!(peak_rss_bytes().is_some_and(|bytes| bytes > 1 << 16));
        assert!(parallelism() >= 1);
    }
}
