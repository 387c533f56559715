//! What can go wrong with a store, by what the caller can do about it.

use std::path::PathBuf;

/// An error of the store. Not found is an `Option`, never an error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was kept; the same call may go through later: disk full, read-only, busy, stopping.
    #[error("the database cannot be written or read now: {0}")]
    Unavailable(String),
    /// The call itself cannot be carried out; another of the same kind would fail again.
    #[error("the database refused a statement: {0}")]
    Refused(String),
    /// Another process has the data directory.
    #[error("{0} is in use by another Postrider process; stop it, or give this one its own POSTRIDER_DATA_DIR")]
    Locked(PathBuf),
    /// Another process has the database on a server.
    #[error("the database {0} is in use by another Postrider process; stop it, or give this one another database")]
    InUse(String),
    /// A newer Postrider wrote the database.
    #[error(
        "the database has schema version {found}, written by a newer Postrider; this one knows versions up to {known}. \
         Run the newer version, or restore the backup made before the upgrade"
    )]
    Newer { found: u64, known: u64 },
    /// The database or its key cannot be used at all.
    #[error("{0}")]
    Unusable(String),
}

impl StoreError {
    /// Whether the same call may go through later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
