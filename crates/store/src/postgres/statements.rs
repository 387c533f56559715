//! Statements: prepared once for each connection, and what an error of PostgreSQL means to a caller.

use std::borrow::Cow;
use std::error::Error as _;

use tokio_postgres::types::{ToSql, WasNull, WrongType};
use tokio_postgres::{Error, Row};

use crate::StoreError;

/// A connection that remembers its prepared statements.
pub(super) type Connection = deadpool_postgres::ClientWrapper;

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) async fn query(connection: &Connection, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
    let statement = connection.prepare_cached(sql).await?;
    connection.query(&statement, params).await
}

pub(super) async fn query_opt(connection: &Connection, sql: &str, params: Params<'_>) -> Result<Option<Row>, Error> {
    let statement = connection.prepare_cached(sql).await?;
    connection.query_opt(&statement, params).await
}

pub(super) async fn query_one(connection: &Connection, sql: &str, params: Params<'_>) -> Result<Row, Error> {
    let statement = connection.prepare_cached(sql).await?;
    connection.query_one(&statement, params).await
}

/// Returns how many rows it changed.
pub(super) async fn execute(connection: &Connection, sql: &str, params: Params<'_>) -> Result<u64, Error> {
    let statement = connection.prepare_cached(sql).await?;
    connection.execute(&statement, params).await
}

/// A text that PostgreSQL takes. It keeps every text but one with U+0000, which a receiver may well answer: that becomes
/// U+FFFD, as wherever a character cannot be shown.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// A bound of rows as a parameter of LIMIT.
pub(super) fn limit(rows_max: usize) -> i64 {
    i64::try_from(rows_max).unwrap_or(i64::MAX)
}

/// A number that was written from the same unsigned type.
pub(super) fn unsigned<T: TryFrom<i64> + Default>(row: &Row, column: usize) -> Result<T, Error> {
    Ok(T::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default())
}

/// The same where there may be none.
pub(super) fn unsigned_opt<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<Option<T>, Error> {
    Ok(row.try_get::<_, Option<i64>>(column)?.and_then(|number| T::try_from(number).ok()))
}

/// What a newer version may have written.
#[derive(Debug, thiserror::Error)]
#[error("this version does not know {0}")]
pub(super) struct Unknown(pub String);

/// Sorts PostgreSQL's errors by what the caller can do about them.
#[expect(clippy::needless_pass_by_value, reason = "this is the shape that `map_err` takes")]
pub(super) fn from_postgres(error: Error) -> StoreError {
    let Some(refusal) = error.as_db_error() else {
        let is_ours = error
            .source()
            .is_some_and(|source| source.is::<WrongType>() || source.is::<WasNull>() || source.is::<Unknown>());
        // Everything else that is no answer of the server is a way to it that has ended or never began.
        return if is_ours { StoreError::Refused(explain(&error)) } else { StoreError::Unavailable(explain(&error)) };
    };
    if is_transient(refusal.code().code()) {
        StoreError::Unavailable(explain(&error))
    } else {
        StoreError::Refused(explain(&error))
    }
}

/// Whether a SQLSTATE tells of a state that passes.
fn is_transient(code: &str) -> bool {
    match code.get(..2) {
        // Connections, rollbacks for the sake of others, resources, locks, the operator, the disk.
        Some("08" | "40" | "53" | "55" | "57" | "58") => true,
        // A standby.
        _ => code == "25006",
    }
}

/// An error with what is behind it, in one line.
pub(super) fn explain(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(refusal), _) => format!("{} ({})", refusal.message(), refusal.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_pass_are_told_from_those_that_do_not() {
        // Too many connections, starting up, shutdown, disk full, deadlock, lock not available, a standby.
        for code in ["53300", "57P03", "57P01", "53100", "40P01", "55P03", "25006", "08006"] {
            assert!(is_transient(code), "{code}");
        }
        // Wrong password, no such database, unique violation, undefined table, aborted transaction.
        for code in ["28P01", "3D000", "23505", "42P01", "25P02"] {
            assert!(!is_transient(code), "{code}");
        }
    }

    #[test]
    fn only_the_character_that_cannot_be_kept_is_replaced() {
        assert!(matches!(text("ä\u{1}"), Cow::Borrowed("ä\u{1}")));
        assert_eq!(text("a\0b\0"), "a\u{FFFD}b\u{FFFD}");
    }
}
