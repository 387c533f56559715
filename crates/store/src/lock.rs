//! The lock of a data directory: one process at a time uses what is in it, wherever its database is.

use std::fs::File;
use std::path::{Path, PathBuf};

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

/// Data directories that this process has taken: each once, though two paths may lead to it.
#[derive(Debug, Default)]
pub struct Locks(Vec<(PathBuf, File)>);

impl Locks {
    /// Takes one more, unless it is taken by this already. All are given back when this is dropped.
    pub fn take(&mut self, data_dir: &Path) -> Result<(), StoreError> {
        let is_same =
            |known: &Path| known.canonicalize().ok().is_some_and(|known| data_dir.canonicalize().ok() == Some(known));
        if !self.0.iter().any(|(known, _)| is_same(known)) {
            self.0.push((data_dir.to_owned(), lock(data_dir)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_by_whatever_path() {
        let directory = tempfile::tempdir().unwrap();
        let (own, other) = (directory.path().join("own"), directory.path().join("other"));
        let mut locks = Locks::default();
        for path in [&own, &own.join("../own"), &other] {
            locks.take(path).unwrap();
        }
        assert_eq!(locks.0.len(), 2);
        assert!(matches!(Locks::default().take(&own), Err(StoreError::Locked(_))));
        drop(locks);
        Locks::default().take(&own).unwrap();
    }
}
