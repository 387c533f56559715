//! Segments as they were: tables of their own, in the forms of the versions that made them. Their rows are moved at a
//! start, one segment in a transaction, so a start that is cut off goes on where it was.

use rusqlite::{Connection, params};

use super::{Kind, in_transaction};

/// Events with their place in the producer's trace, settled deliveries whose reason has a code, and attempts that say
/// whether the delivery was given up with them.
const FORM_WITH_LAST_COLUMN: i64 = 2;

/// A segment that is a table.
struct Former {
    kind: Kind,
    number: i64,
    form: i64,
    is_ending: bool,
}

/// Moves every segment that is a table of its own.
pub(super) fn move_all(connection: &Connection) -> rusqlite::Result<()> {
    let former: Vec<Former> = connection
        .prepare("SELECT kind, number, form, is_ending FROM segments WHERE form > 0 ORDER BY kind, number")?
        .query_map([], |row| {
            let kind = Kind::parse(row.get_ref(0)?.as_str()?).unwrap_or(Kind::Events);
            Ok(Former { kind, number: row.get(1)?, form: row.get(2)?, is_ending: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    former.iter().try_for_each(|segment| in_transaction(connection, |connection| move_one(connection, segment)))
}

fn move_one(connection: &Connection, segment: &Former) -> rusqlite::Result<()> {
    let Former { kind, number, .. } = segment;
    let table = format!("{}_{number}", kind.name());
    if segment.is_ending {
        // Its time was over, and nobody read it any more.
        connection.execute_batch(&format!("DROP TABLE {table}"))?;
        let sql = "DELETE FROM segments WHERE kind = ?1 AND number = ?2";
        return connection.execute(sql, params![kind.name(), number]).map(drop);
    }
    let columns = columns(segment);
    connection
        .execute_batch(&format!("INSERT INTO {} SELECT {columns} FROM {table}; DROP TABLE {table}", kind.name()))?;
    let sql = "UPDATE segments SET form = 0, indexes = 0 WHERE kind = ?1 AND number = ?2";
    connection.execute(sql, params![kind.name(), number]).map(drop)
}

/// The columns of a segment's table as those of the table where its rows go.
fn columns(segment: &Former) -> String {
    let has_last = segment.form >= FORM_WITH_LAST_COLUMN;
    match segment.kind {
        Kind::Settled if has_last => format!("{}, *", segment.number),
        Kind::Settled => format!("{}, *, NULL", segment.number),
        Kind::Events | Kind::Attempts if has_last => "*".to_owned(),
        Kind::Events => "*, NULL".to_owned(),
        Kind::Attempts => "*, 0".to_owned(),
    }
}
