//! The lock of a data directory: one process at a time uses what is in it, wherever its database is.

use std::fs::File;
use std::path::Path;

use crate::StoreError;

/// Held exclusively for as long as a process uses the data directory.
pub const LOCK_FILE: &str = "postrider.lock";

/// Takes the data directory for this process, making it when it is not there.
pub(crate) fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let unusable = |error: std::io::Error| {
        StoreError::Unusable(format!("the data directory {} cannot be used: {error}", data_dir.display()))
    };
    std::fs::create_dir_all(data_dir).map_err(unusable)?;
    let file = File::create(data_dir.join(LOCK_FILE)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked(data_dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(unusable(error)),
    }
}
