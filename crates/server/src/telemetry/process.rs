//! What the process takes, as Linux tells it. Elsewhere nothing is told.

/// What the process takes now.
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    pub(super) open_fds: u64,
}

pub(super) fn usage() -> Option<Usage> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let open_fds = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory being read.
    let open_fds = u64::try_from(open_fds.saturating_sub(1)).ok()?;
    Some(Usage { resident_bytes: resident_bytes(&status)?, open_fds })
}

/// `VmRSS` is told in KiB.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::resident_bytes;

    #[test]
    fn memory_is_read_from_the_status() {
        assert_eq!(resident_bytes("Name:\tpostrider\nVmRSS:\t   47012 kB\nThreads:\t7\n"), Some(47012 * 1024));
        assert_eq!(resident_bytes("Name:\tpostrider\n"), None);
    }
}
