//! The database: who has it, whether it is whole, and whether its newest event lies in the past.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use domain::Clock;

use super::Finding;
use crate::app::{self, LOCK_FILE};
use crate::cli::output::duration;
use crate::config::Config;
use crate::http::socket::path_in;

/// Further ahead than this, an event was accepted by another clock.
const AHEAD_MAX: Duration = Duration::from_secs(2);

/// Who has the data directory.
pub(super) enum Lock {
    Free,
    /// With the process, where the system tells.
    Held(Option<String>),
    Unknown(String),
}

/// Looks who has the data directory. It is taken for a moment to see that it can be.
pub(super) fn lock(data_dir: &Path) -> Lock {
    let path = data_dir.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Lock::Free,
        Err(error) => return Lock::Unknown(format!("{}: {error}", path.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Lock::Free,
        Err(TryLockError::WouldBlock) => Lock::Held(holder(&path)),
        Err(TryLockError::Error(error)) => Lock::Unknown(format!("{}: {error}", path.display())),
    }
}

/// The process that has a file locked, as Linux tells it in `/proc/locks`.
fn holder(path: &Path) -> Option<String> {
    let inode = fs::metadata(path).ok()?.ino();
    let pid = holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    Some(format!("process {pid}: {}", words.join(" ").trim_end()))
}

/// Lines are like `3: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF`.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    let suffix = format!(":{inode}");
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1) == Some(&"FLOCK") && words.get(5).is_some_and(|file| file.ends_with(&suffix));
        if is_it { words.get(4)?.parse().ok() } else { None }
    };
    locks.lines().find_map(of_line)
}

pub(super) async fn checks(config: &Config, clock: &dyn Clock, lock: &Lock) -> Vec<Finding> {
    let mut findings = vec![owner(lock), socket(config, lock)];
    findings.extend(content(config, clock).await);
    findings
}

fn owner(lock: &Lock) -> Finding {
    const CHECK: &str = "lock";
    match lock {
        Lock::Free => Finding::ok(CHECK, "no server runs on this data directory"),
        Lock::Held(Some(who)) => Finding::ok(CHECK, format!("held by {who}")),
        Lock::Held(None) => Finding::ok(CHECK, "held by another process"),
        Lock::Unknown(why) => Finding::warn(CHECK, why.clone(), "run this as the user that the server runs as"),
    }
}

fn socket(config: &Config, lock: &Lock) -> Finding {
    const CHECK: &str = "socket";
    let path = match path_in(&config.data_dir) {
        Ok(path) => path,
        Err(error) => {
            let advice =
                "choose a shorter POSTRIDER_DATA_DIR; until then commands need POSTRIDER_URL and POSTRIDER_KEY";
            return Finding::warn(CHECK, error.to_string(), advice);
        }
    };
    let shown = path.display();
    match (fs::symlink_metadata(&path), lock) {
        (Ok(found), _) if found.permissions().mode() & 0o077 != 0 => {
            let detail = format!("{shown} may be opened by other users, who then act for the platform");
            Finding::fail(CHECK, detail, format!("chmod 600 {shown}"))
        }
        (Ok(_), Lock::Free) => Finding::ok(CHECK, format!("{shown} is left over; the next start replaces it")),
        (Ok(_), _) => Finding::ok(CHECK, format!("{shown} is its owner's alone")),
        (Err(_), Lock::Held(_)) => {
            let advice = "see the server's log; commands need POSTRIDER_URL and POSTRIDER_KEY meanwhile";
            Finding::warn(CHECK, format!("{shown} is not there, and a server runs"), advice)
        }
        (Err(_), _) => Finding::ok(CHECK, format!("{shown} is made when a server starts")),
    }
}

async fn content(config: &Config, clock: &dyn Clock) -> Vec<Finding> {
    const CHECK: &str = "database";
    const CLOCK_CHECK: &str = "clock";
    let seen = match app::inspect(config).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return vec![Finding::ok(CHECK, "there is none yet")],
        Err(error) => {
            let advice = match config.database {
                None => "stop the server, keep a copy of the data directory",
                Some(_) => "look at the server of the database, and at database_url",
            };
            return vec![Finding::fail(CHECK, error.to_string(), advice)];
        }
    };
    let kib = seen.bytes / 1024;
    let whole = match (&seen.server, seen.faults.is_empty()) {
        (None, true) => Finding::ok(CHECK, format!("{kib} KiB, and whole")),
        (None, false) => {
            let advice = "stop the server, keep a copy of the data directory, and restore a backup into an empty one";
            Finding::fail(CHECK, format!("damaged: {}", seen.faults.join("; ")), advice)
        }
        // Whether it is whole is for the tools of its own server to say (pg_amcheck).
        (Some(server), true) => Finding::ok(CHECK, format!("{server}: {kib} KiB")),
        (Some(server), false) => {
            let advice = "put back the secret.key of this database";
            Finding::fail(CHECK, format!("{server}: {}", seen.faults.join("; ")), advice)
        }
    };
    let time = match seen.newest_event.map(|newest| newest.since(clock.now())) {
        Some(ahead) if ahead > AHEAD_MAX => Finding::fail(
            CLOCK_CHECK,
            format!("the newest event was accepted {} after now", duration(ahead)),
            "set this machine's clock, by a time server (NTP): due times and signatures go by it",
        ),
        Some(_) => Finding::ok(CLOCK_CHECK, "the newest event lies in the past"),
        None => Finding::ok(CLOCK_CHECK, "there are no events to compare it with"),
    };
    vec![whole, time]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_among_the_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:01:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 22 08:01:1131 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 33 fe:00:131 0 EOF\n";
        assert_eq!(holder_in(locks, 131), Some(33));
        assert_eq!(holder_in(locks, 31), None);
        assert_eq!(holder_in("", 131), None);
    }
}
