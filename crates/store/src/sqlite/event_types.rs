//! Descriptions of event types in SQL. Part of the directory; their groups and variables are one JSON text, because they
//! are read and written whole.

use domain::event_type::{EventType, KeptEventType};
use domain::{TenantId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::tx::Tx;
use crate::settings::{groups_json, read_groups};

const COLUMNS: &str = "tenant_id, type, label, description, groups, created_at, updated_at";

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<KeptEventType>> {
    // Those of a deleted tenant are there until they are erased.
    let sql = format!(
        "SELECT {COLUMNS} FROM event_types
         WHERE tenant_id NOT IN (SELECT id FROM tenants WHERE deleted_at IS NOT NULL)
         ORDER BY tenant_id, type"
    );
    connection.prepare_cached(&sql)?.query_map([], read)?.collect()
}

pub(super) fn put(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    event_type: &EventType,
    now: Timestamp,
) -> rusqlite::Result<KeptEventType> {
    tx.sequences.config_version += 1;
    let sql = format!(
        "INSERT INTO event_types (tenant_id, type, label, description, groups, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE
         SET label = excluded.label, description = excluded.description, groups = excluded.groups,
             updated_at = excluded.created_at
         RETURNING {COLUMNS}"
    );
    tx.connection.prepare_cached(&sql)?.query_row(
        params![
            tenant.0,
            event_type.name,
            event_type.label,
            event_type.description,
            groups_json(&event_type.groups),
            now.as_ms(),
        ],
        read,
    )
}

pub(super) fn delete(tx: &mut Tx<'_>, tenant: TenantId, name: &str) -> rusqlite::Result<bool> {
    let deleted = tx
        .connection
        .prepare_cached("DELETE FROM event_types WHERE tenant_id = ?1 AND type = ?2")?
        .execute(params![tenant.0, name])?;
    tx.sequences.config_version += i64::from(deleted > 0);
    Ok(deleted > 0)
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptEventType> {
    let groups: String = row.get(4)?;
    Ok(KeptEventType {
        tenant: TenantId(row.get(0)?),
        event_type: EventType {
            name: row.get(1)?,
            label: row.get(2)?,
            description: row.get(3)?,
            groups: read_groups(&groups),
        },
        created_at: Timestamp::from_ms(row.get(5)?),
        updated_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
    })
}
