//! Descriptions of event types in SQL. Part of the directory; their groups and variables are one JSON text, because they
//! are read and written whole.

use domain::event_type::{EventType, KeptEventType};
use domain::{TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::statements::{Connection, execute, query, query_one, text};
use super::tx::Tx;
use crate::settings::{groups_json, read_groups};

const COLUMNS: &str = "tenant_id, type, label, description, groups, created_at, updated_at";

pub(super) async fn all(connection: &Connection) -> Result<Vec<KeptEventType>, Error> {
    // Those of a deleted tenant are there until they are erased.
    let sql = format!(
        "SELECT {COLUMNS} FROM event_types
         WHERE tenant_id NOT IN (SELECT id FROM tenants WHERE deleted_at IS NOT NULL)
         ORDER BY tenant_id, type"
    );
    query(connection, &sql, &[]).await?.iter().map(read).collect()
}

pub(super) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    event_type: &EventType,
    now: Timestamp,
) -> Result<KeptEventType, Error> {
    tx.sequences.config_version += 1;
    let sql = format!(
        "INSERT INTO event_types ({COLUMNS})
         VALUES ($1, $2, $3, $4, $5, $6, NULL)
         ON CONFLICT (tenant_id, type) DO UPDATE
         SET label = excluded.label, description = excluded.description, groups = excluded.groups,
             updated_at = excluded.created_at
         RETURNING {COLUMNS}"
    );
    let row = query_one(
        &tx.connection,
        &sql,
        &[
            &tenant.0,
            &text(&event_type.name),
            &text(&event_type.label),
            &text(&event_type.description),
            &groups_json(&event_type.groups),
            &now.as_ms(),
        ],
    )
    .await?;
    read(&row)
}

pub(super) async fn delete(tx: &mut Tx, tenant: TenantId, name: &str) -> Result<bool, Error> {
    let sql = "DELETE FROM event_types WHERE tenant_id = $1 AND type = $2";
    let deleted = execute(&tx.connection, sql, &[&tenant.0, &text(name)]).await?;
    tx.sequences.config_version += i64::from(deleted > 0);
    Ok(deleted > 0)
}

fn read(row: &Row) -> Result<KeptEventType, Error> {
    Ok(KeptEventType {
        tenant: TenantId(row.try_get(0)?),
        event_type: EventType {
            name: row.try_get(1)?,
            label: row.try_get(2)?,
            description: row.try_get(3)?,
            groups: read_groups(row.try_get(4)?),
        },
        created_at: Timestamp::from_ms(row.try_get(5)?),
        updated_at: row.try_get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
    })
}
