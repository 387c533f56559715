//! Redrives in SQL. The order of functions is that of the trait.

mod look;
mod slice;

use async_trait::async_trait;
use domain::redrive::{OPEN_MAX, Progress, Redrive, Source};
use domain::{RedriveId, TenantId, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::tx::Tx;
use super::{SqliteStore, from_sqlite};
use crate::StoreError;
use crate::redrive_json::{read_wanted, wanted_json};
use crate::redrives::{
    DeadLetter, DeadLook, EventLook, NewRedrive, PastEvent, RedriveSlice, Redrives, Steer, Stretch, Take,
};

#[async_trait]
impl Redrives for SqliteStore {
    async fn begin_redrive(
        &self,
        tenant: TenantId,
        new: NewRedrive,
        now: Timestamp,
    ) -> Result<Option<Redrive>, StoreError> {
        self.write(1, move |tx| {
            if tx.gone.contains(&tenant) {
                return Err(StoreError::Refused(format!("tenant {tenant} was deleted")));
            }
            begin(tx, tenant, &new, now).map_err(from_sqlite)
        })
        .await
    }

    async fn redrive(&self, tenant: TenantId, redrive: RedriveId) -> Result<Option<Redrive>, StoreError> {
        self.read(move |connection| one(connection, tenant, redrive).map_err(from_sqlite)).await
    }

    async fn redrives(
        &self,
        tenant: TenantId,
        before: Option<RedriveId>,
        rows_max: usize,
    ) -> Result<Vec<Redrive>, StoreError> {
        self.read(move |connection| list(connection, tenant, before, rows_max).map_err(from_sqlite)).await
    }

    async fn steer_redrive(
        &self,
        tenant: TenantId,
        redrive: RedriveId,
        steer: Steer,
    ) -> Result<Option<Redrive>, StoreError> {
        self.write(1, move |tx| self::steer(tx, tenant, redrive, &steer).map_err(from_sqlite)).await
    }

    async fn running_redrives(&self) -> Result<Vec<(TenantId, RedriveId)>, StoreError> {
        self.read(|connection| running(connection).map_err(from_sqlite)).await
    }

    async fn dead_after(&self, tenant: TenantId, look: DeadLook) -> Result<Stretch<DeadLetter>, StoreError> {
        self.read(move |connection| look::dead_after(connection, tenant, &look).map_err(from_sqlite)).await
    }

    async fn events_after(&self, tenant: TenantId, look: EventLook) -> Result<Stretch<PastEvent>, StoreError> {
        self.read(move |connection| look::events_after(connection, tenant, &look).map_err(from_sqlite)).await
    }

    async fn redrive_slice(
        &self,
        tenant: TenantId,
        slice: RedriveSlice,
        now: Timestamp,
    ) -> Result<Option<Redrive>, StoreError> {
        let rows = match &slice.take {
            Take::Dead(deliveries) => 1 + deliveries.len() * 2,
            Take::Events { events, .. } => 1 + events.len() * 2,
        };
        self.write(rows, move |tx| slice::carry_out(tx, tenant, &slice, now).map_err(from_sqlite)).await
    }
}

fn begin(tx: &Tx<'_>, tenant: TenantId, new: &NewRedrive, now: Timestamp) -> rusqlite::Result<Option<Redrive>> {
    let open: u32 = tx
        .connection
        .prepare_cached("SELECT COUNT(*) FROM redrives WHERE tenant_id = ?1 AND ended_at IS NULL")?
        .query_row([tenant.0], |row| row.get(0))?;
    if open >= OPEN_MAX {
        return Ok(None);
    }
    let up_to = match new.source {
        Source::Dead => tx.sequences.delivery - 1,
        Source::History => tx.sequences.event - 1,
    };
    let sql = format!(
        "INSERT INTO redrives (tenant_id, source, wanted, pace, progress, up_to, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         RETURNING {COLUMNS}"
    );
    let values = params![
        tenant.0,
        new.source.name(),
        wanted_json(&new.wanted),
        new.pace,
        Progress::Running.name(),
        up_to,
        now.as_ms(),
    ];
    tx.connection.prepare_cached(&sql)?.query_row(values, read).map(Some)
}

fn one(connection: &Connection, tenant: TenantId, redrive: RedriveId) -> rusqlite::Result<Option<Redrive>> {
    let sql = format!("SELECT {COLUMNS} FROM redrives WHERE id = ?2 AND +tenant_id = ?1");
    connection.prepare_cached(&sql)?.query_row([tenant.0, redrive.0], read).optional()
}

fn list(
    connection: &Connection,
    tenant: TenantId,
    before: Option<RedriveId>,
    rows_max: usize,
) -> rusqlite::Result<Vec<Redrive>> {
    let sql = format!("SELECT {COLUMNS} FROM redrives WHERE tenant_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
    let before = before.map_or(i64::MAX, |before| before.0);
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map(params![tenant.0, before, rows_max], read)?.collect()
}

fn steer(tx: &Tx<'_>, tenant: TenantId, redrive: RedriveId, steer: &Steer) -> rusqlite::Result<Option<Redrive>> {
    let ended_at = steer.to.is_over().then_some(steer.now.as_ms());
    tx.connection
        .prepare_cached(
            "UPDATE redrives SET progress = ?3, note = ?4, ended_at = ?5
             WHERE id = ?2 AND +tenant_id = ?1 AND ended_at IS NULL",
        )?
        .execute(params![tenant.0, redrive.0, steer.to.name(), steer.note, ended_at])?;
    one(tx.connection, tenant, redrive)
}

fn running(connection: &Connection) -> rusqlite::Result<Vec<(TenantId, RedriveId)>> {
    connection
        .prepare_cached("SELECT tenant_id, id FROM redrives WHERE progress = 'running' ORDER BY id")?
        .query_map([], |row| Ok((TenantId(row.get(0)?), RedriveId(row.get(1)?))))?
        .collect()
}

const COLUMNS: &str = "id, tenant_id, source, wanted, pace, progress, note, reached, up_to, examined, redriven, \
                       skipped, created_at, ended_at";

fn read(row: &Row<'_>) -> rusqlite::Result<Redrive> {
    let (source, wanted, progress): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(5)?);
    let unknown = |column, text: &str| {
        let told = format!("this version does not know {text}");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, told.into())
    };
    let count = |column| row.get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
    Ok(Redrive {
        id: RedriveId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        source: Source::parse(&source).ok_or_else(|| unknown(2, &source))?,
        wanted: read_wanted(&wanted).ok_or_else(|| unknown(3, &wanted))?,
        pace: row.get(4)?,
        progress: Progress::parse(&progress).ok_or_else(|| unknown(5, &progress))?,
        note: row.get(6)?,
        reached: row.get(7)?,
        up_to: row.get(8)?,
        examined: count(9)?,
        redriven: count(10)?,
        skipped: count(11)?,
        created_at: Timestamp::from_ms(row.get(12)?),
        ended_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_ms),
    })
}
