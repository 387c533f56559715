//! What a process has used, read from `/proc`: memory and processor time.
//!
//! Elsewhere than on Linux there is no `/proc`, and the figures are left out.

use std::time::Duration;

/// The unit of times in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// Memory resident now, in bytes (`VmRSS`).
    pub(super) rss_bytes: u64,
    /// The most memory ever resident, in bytes (`VmHWM`).
    pub(super) rss_peak_bytes: u64,
    /// Processor time of all threads so far, in user and kernel mode.
    pub(super) cpu: Duration,
}

/// The usage of the process `id`; `None` when it is gone or the system does not tell.
pub(super) fn usage(id: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    parse(&status, &stat)
}

/// Processor time of the process `id`, of its children, and of those of them that ended.
pub(super) fn cpu_of_family(id: u32) -> Option<Duration> {
    let parent = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut sum = cpu(&parent)? + times(&parent, ENDED_CHILDREN)?;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        // What is no process, and what has just ended, has no such file.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if parent_of(&stat) == Some(id) {
            sum += cpu(&stat)?;
        }
    }
    Some(sum)
}

fn parse(status: &str, stat: &str) -> Option<Usage> {
    Some(Usage { rss_bytes: bytes(status, "VmRSS:")?, rss_peak_bytes: bytes(status, "VmHWM:")?, cpu: cpu(stat)? })
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `utime` and `stime` are the 14th and 15th field of `/proc/PID/stat`.
const OWN: usize = 14;
/// `cutime` and `cstime` follow: children that ended and were waited for.
const ENDED_CHILDREN: usize = 16;

fn cpu(stat: &str) -> Option<Duration> {
    times(stat, OWN)
}

/// The time in user mode, which is the field of this number, and the one in kernel mode, which is the next.
fn times(stat: &str, first: usize) -> Option<Duration> {
    let mut fields = fields_from(stat, first)?;
    let user: u32 = fields.next()?.parse().ok()?;
    let kernel: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.checked_add(kernel)?)
}

fn parent_of(stat: &str) -> Option<u32> {
    fields_from(stat, 4)?.next()?.parse().ok()
}

/// The fields from this number on, of which the first is 1. The second one, the name, may hold anything, also spaces and
/// parentheses, so fields are counted from the last closing one.
fn fields_from(stat: &str, number: usize) -> Option<impl Iterator<Item = &str>> {
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().skip(number - 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tpostrider\nVmPeak:\t  900000 kB\nVmHWM:\t   61440 kB\nVmRSS:\t   51200 kB\n";
    const STAT: &str = "4242 (post) rider) S 1 4242 4242 0 -1 4194560 9 0 0 0 1234 66 0 0 20 0 5 0 100 1 2 3";

    #[test]
    fn usage_is_read_from_the_two_files() {
        let expect = Usage { rss_bytes: 50 << 20, rss_peak_bytes: 60 << 20, cpu: Duration::from_secs(13) };
        assert_eq!(parse(STATUS, STAT), Some(expect));
    }

    #[test]
    fn a_family_is_told_by_its_parent() {
        assert_eq!(parent_of(STAT), Some(1));
        assert_eq!(times(STAT, ENDED_CHILDREN), Some(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(parse("Name:\tzombie\n", STAT), None);
        assert_eq!(parse(STATUS, "4242 (x) Z 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_very_process_has_used_something() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 0 && usage.rss_peak_bytes >= usage.rss_bytes / 2);
    }
}
