//! Folding: the log goes into the database, [beside](super::beside) the writer.
//!
//! SQLite lets one connection copy the log into the database while another appends to it, so the copying and its flush
//! hold up no commit. What only the writer can do is begin the log anew, and only when nothing in it is left to copy: it
//! does so by folding the last few pages itself, between two batches ([`Log::next`] says when).

use rusqlite::Connection;

use super::from_sqlite;
use crate::StoreError;

/// Pages of log that a writer copies in one go that nobody folds for: 2 MiB.
pub(super) const FOLD_PAGES: i64 = 500;

/// Pages of log that are copied in one go beside the writer: 6 MiB. What is written again and again in between, like the ends
/// of tables and the sums, is copied once.
const BESIDE_PAGES: i64 = 1_500;

/// Pages of log after which it is begun anew: 16 MiB. Seldom enough, and few enough for readers to look through.
const RESTART_PAGES: i64 = 4_000;

/// With no more than so many pages left to copy, the writer copies them itself: some tenths of a millisecond.
const TAIL_PAGES_MAX: i64 = 120;

/// How long the log may grow, 32 MiB, before a writer that nobody folds for fast enough does it itself, as soon as the other is
/// not at it.
const LOG_PAGES_MAX: i64 = 8_000;

/// At 64 MiB it waits for the other to finish, so that there is an end to it also where nobody else gets much of the processor.
const LOG_PAGES_END: i64 = 16_000;

/// How long the log is, and how much of it is in the database already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub pages: i64,
    pub folded: i64,
}

/// What is to be done with the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Nothing,
    /// Copy what there is, beside the writer.
    Beside,
    /// Copy the rest, in the writer's own time.
    Here,
}

impl Log {
    pub(super) fn of(connection: &Connection) -> Result<Self, StoreError> {
        connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut statement| {
                statement.query_row([], |row| Ok(Self { pages: row.get(1)?, folded: row.get(2)? }))
            })
            .map_err(from_sqlite)
    }

    pub(super) const fn unfolded(self) -> i64 {
        self.pages - self.folded
    }

    /// Whether it is so long that everybody waits for it to be folded.
    pub(super) const fn is_too_long(self) -> bool {
        self.pages >= LOG_PAGES_END
    }

    /// What to do, with somebody beside the writer who can fold, or without.
    pub(super) const fn next(self, has_beside: bool) -> Fold {
        let rest = self.unfolded();
        if !has_beside {
            return if rest >= FOLD_PAGES { Fold::Here } else { Fold::Nothing };
        }
        if rest > 0 && self.pages >= RESTART_PAGES && (rest <= TAIL_PAGES_MAX || self.pages >= LOG_PAGES_MAX) {
            return Fold::Here;
        }
        // A log that waits to be begun anew is copied to its end.
        let enough = if self.pages >= RESTART_PAGES { TAIL_PAGES_MAX } else { BESIDE_PAGES };
        if rest >= enough { Fold::Beside } else { Fold::Nothing }
    }
}

/// Copies what the log holds into the database. Passive: what a reader still needs stays in the log until the next time.
pub(super) fn fold(connection: &Connection) -> Result<(), StoreError> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(from_sqlite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_folds_the_tail_of_a_long_log_and_the_rest_is_folded_beside_it() {
        let check = |pages: i64, folded: i64, beside: Fold, alone: Fold| {
            let log = Log { pages, folded };
            assert_eq!((log.next(true), log.next(false)), (beside, alone), "{log:?}");
        };
        check(0, 0, Fold::Nothing, Fold::Nothing);
        check(499, 0, Fold::Nothing, Fold::Nothing);
        check(500, 0, Fold::Nothing, Fold::Here);
        check(1500, 0, Fold::Beside, Fold::Here);
        check(3999, 3500, Fold::Nothing, Fold::Nothing);
        check(4000, 3000, Fold::Beside, Fold::Here);
        check(4000, 3800, Fold::Beside, Fold::Nothing);
        check(4000, 3880, Fold::Here, Fold::Nothing);
        // All of it is in the database: the next commit begins it anew by itself.
        check(4000, 4000, Fold::Nothing, Fold::Nothing);
        check(8000, 7000, Fold::Here, Fold::Here);
    }
}
