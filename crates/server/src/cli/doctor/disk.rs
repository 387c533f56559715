//! The disk: the data directory and who may read it, the room that is left, and how long it takes to make data durable.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use domain::{Clock, Timestamp};

use super::Finding;
use crate::app::{DATABASE_FILE, KEY_FILE};
use crate::cli::output::duration;
use crate::config::Config;

const MIB: u64 = 1 << 20;

/// Below this a busy server is full within minutes; the log alone may take a good part of it.
const ROOM_MIN: u64 = 64 * MIB;

/// Below this somebody should think of a larger disk.
const ROOM_LOW: u64 = 1024 * MIB;

/// Rounds of the measurement, and the bytes that each makes durable: a page of the database.
const ROUNDS: usize = 20;
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Every event waits at least this long for its answer. Disks of servers take less than 10 ms.
const SLOW: Duration = Duration::from_millis(20);

/// How far the clock of a file system may be from ours. They differ where the disk is another machine's.
const APART_MAX: Duration = Duration::from_secs(2);

pub(super) fn checks(config: &Config, clock: &dyn Clock) -> Vec<Finding> {
    let data_dir = &config.data_dir;
    let directory = directory(data_dir);
    if directory.level == super::Level::Fail {
        return vec![directory];
    }
    vec![directory, key(data_dir), room(data_dir), durability(data_dir, clock), file_system_clock(data_dir, clock)]
}

fn directory(data_dir: &Path) -> Finding {
    const CHECK: &str = "data directory";
    let shown = data_dir.display();
    let found = match fs::metadata(data_dir) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let advice =
                "set POSTRIDER_DATA_DIR (--data-dir) to that of your server; 'postrider serve' makes a new one";
            return Finding::fail(CHECK, format!("{shown} is not there"), advice);
        }
        Err(error) => return Finding::fail(CHECK, format!("{shown}: {error}"), "run this as the user of the server"),
    };
    if !found.is_dir() {
        return Finding::fail(CHECK, format!("{shown} is not a directory"), "set POSTRIDER_DATA_DIR to a directory");
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let detail = format!("{shown} may be entered by other users (mode {mode:o}), who may read the events in it");
        return Finding::warn(CHECK, detail, format!("chmod 700 {shown}"));
    }
    Finding::ok(CHECK, format!("{shown} is its owner's alone"))
}

fn key(data_dir: &Path) -> Finding {
    const CHECK: &str = "key file";
    let path = data_dir.join(KEY_FILE);
    let shown = path.display();
    match fs::metadata(&path) {
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let detail = format!("{shown} may be read by other users (mode {mode:o})");
                return Finding::fail(CHECK, detail, format!("chmod 600 {shown}"));
            }
            let directory = fs::metadata(data_dir).map(|directory| directory.uid());
            if directory.is_ok_and(|owner| owner != found.uid()) {
                let detail = format!("{shown} and its directory belong to different users");
                return Finding::warn(CHECK, detail, "give both to the user that the server runs as");
            }
            Finding::ok(CHECK, format!("{shown} is its owner's alone"))
        }
        Err(_) if !data_dir.join(DATABASE_FILE).exists() => {
            Finding::ok(CHECK, format!("{shown} is made at the first start"))
        }
        Err(error) => {
            let advice = "put back the secret.key of this database; without it no channel can be read";
            Finding::fail(CHECK, format!("{shown}: {error}"), advice)
        }
    }
}

fn room(data_dir: &Path) -> Finding {
    const CHECK: &str = "disk space";
    let seen = match rustix::fs::statvfs(data_dir) {
        Ok(seen) => seen,
        Err(error) => return Finding::warn(CHECK, format!("cannot be asked for: {error}"), "look with df"),
    };
    let free = seen.f_bavail.saturating_mul(seen.f_frsize);
    let detail = format!("{} MiB are free", free / MIB);
    let advice = "make room: a full disk loses nothing, but turns every event away";
    if free < ROOM_MIN {
        Finding::fail(CHECK, detail, advice)
    } else if free < ROOM_LOW {
        Finding::warn(CHECK, detail, advice)
    } else {
        Finding::ok(CHECK, detail)
    }
}

fn durability(data_dir: &Path, clock: &dyn Clock) -> Finding {
    const CHECK: &str = "durable writes";
    let mut took = match measure(data_dir, clock) {
        Ok(took) => took,
        Err(error) => {
            let advice = "the server must be able to write and flush files here";
            return Finding::fail(CHECK, format!("{}: {error}", data_dir.display()), advice);
        }
    };
    took.sort_unstable();
    let (middle, worst) = (took[took.len() / 2], took[took.len() - 1]);
    let ms = |length: Duration| format!("{}.{} ms", length.as_millis(), length.as_micros() / 100 % 10);
    let detail = format!("fdatasync takes {}, {} at worst", ms(middle), ms(worst));
    if middle > SLOW {
        return Finding::warn(
            CHECK,
            detail,
            "every event waits for this; use a faster disk, or one with a cache that lasts",
        );
    }
    Finding::ok(CHECK, detail)
}

fn measure(data_dir: &Path, clock: &dyn Clock) -> io::Result<Vec<Duration>> {
    let mut file: File = tempfile::tempfile_in(data_dir)?;
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = clock.monotonic();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        took.push(clock.monotonic().saturating_sub(start));
    }
    Ok(took)
}

fn file_system_clock(data_dir: &Path, clock: &dyn Clock) -> Finding {
    const CHECK: &str = "clock of the file system";
    let written = || -> io::Result<Timestamp> {
        let mut file = tempfile::tempfile_in(data_dir)?;
        file.write_all(&BLOCK)?;
        let since = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok(Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    };
    match written() {
        Ok(at) => {
            let now = clock.now();
            let apart = now.since(at).max(at.since(now));
            if apart > APART_MAX {
                let detail = format!("it is {} from the clock of this machine", duration(apart));
                return Finding::warn(CHECK, detail, "set both by the same time server (NTP)");
            }
            Finding::ok(CHECK, "it agrees with the clock of this machine")
        }
        Err(error) => Finding::warn(CHECK, format!("cannot be read: {error}"), "see the check before"),
    }
}
