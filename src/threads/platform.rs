//! Queries to the operating system, with fallbacks where it is not Linux.

use std::{fs, path::Path, thread, time::Duration};

/// Number of threads that can run at once: cores within affinity and quotas, at least 1.
pub(crate) fn parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Fills `to` with a file's bytes from `start` on.
///
/// On unix threads may read at the same time, since the file's position is not used.
#[cfg(feature = "hugging-face")]
pub(crate) fn read_exact_at(file: &fs::File, to: &mut [u8], start: u64) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, to, start);
    #[cfg(not(unix))]
    {
        use std::io::{Read, Seek, SeekFrom};
        // A cloned handle would share the position.
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = file;
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(to)
    }
}

/// The process's largest resident set so far in bytes, if the system reports it.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    status_field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The process's resident set in bytes, if the system reports it.
pub(crate) fn rss_bytes() -> Option<u64> {
    status_field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Bytes of memory that this process may use, if the system reports them: the machine's, or fewer if a control group
/// allows fewer.
pub(crate) fn memory_bytes() -> Option<u64> {
    let machine = status_field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(group_limits(&groups).into_iter().fold(machine, u64::min))
}

/// The memory limits of the control groups in `/proc/self/cgroup` and of all groups above them.
fn group_limits(groups: &str) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (root, file) = match fields.next() {
            Some("") => ("/sys/fs/cgroup", "memory.max"),
            Some(kinds) if kinds.split(',').any(|kind| kind == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = fields.next().unwrap_or("/").trim_start_matches('/');
        for folder in Path::new(group).ancestors() {
            let limit = fs::read_to_string(Path::new(root).join(folder).join(file)).unwrap_or_default();
            limits.extend(limit.trim().parse::<u64>());
        }
    }
    limits
}

/// Processor time of the pools' threads, and of all others, if the system reports it.
///
/// The calling thread is not counted.
pub(crate) fn processor_time() -> Option<(Duration, Duration)> {
    let read = |path: &Path| stat_time(&fs::read_to_string(path).ok()?);
    // The process's time includes that of threads that have ended.
    let all = read(Path::new("/proc/self/stat"))?;
    let own = read(Path::new("/proc/thread-self/stat"))?;
    let mut workers = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if stat.contains("(mill-worker") {
            workers += stat_time(&stat).unwrap_or_default();
        }
    }
    Some((workers, all.saturating_sub(workers).saturating_sub(own)))
}

/// User and system time in a `stat` line of `/proc`, in units of 10 ms.
fn stat_time(stat: &str) -> Option<Duration> {
    // The second field is a name in brackets, which may contain brackets and blanks.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

/// A field of `/proc/self/status` in kB, converted to bytes.
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

    #[test]
    fn times_are_read_past_any_name() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(stat_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(stat_time("12 (a) S 1"), None);
        assert_eq!(stat_time(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[cfg_attr(miri, ignore = "reads files")]
    fn linux_reports_memory_and_time() {
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 26));
        assert!(rss_bytes().is_some_and(|bytes| bytes > 1 << 16));
        assert!(rss_bytes() <= peak_rss_bytes());
        assert!(parallelism() >= 1);
        assert!(processor_time().is_some());
    }
}
