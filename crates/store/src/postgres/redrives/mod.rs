//! Redrives in SQL. The order of functions is that of the trait.

mod look;
mod slice;

use std::error::Error as StdError;

use async_trait::async_trait;
use domain::redrive::{OPEN_MAX, Progress, Redrive, Source, Wanted};
use domain::{RedriveId, TenantId, Timestamp};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Error, Row};

use super::PostgresStore;
use super::statements::{
    Connection, Unknown, execute, from_postgres, limit, query, query_one, query_opt, text, unsigned,
};
use super::tx::{Tx, next};
use crate::StoreError;
use crate::redrive_json::{read_wanted, wanted_json};
use crate::redrives::{
    DeadLetter, DeadLook, EventLook, NewRedrive, PastEvent, RedriveSlice, Redrives, Steer, Stretch, Take,
};

#[async_trait]
impl Redrives for PostgresStore {
    async fn begin_redrive(
        &self,
        tenant: TenantId,
        new: NewRedrive,
        now: Timestamp,
    ) -> Result<Option<Redrive>, StoreError> {
        self.write(1, async move |tx| {
            if tx.gone.contains(&tenant) {
                return Err(StoreError::Refused(format!("tenant {tenant} was deleted")));
            }
            begin(tx, tenant, &new, now).await.map_err(from_postgres)
        })
        .await
    }

    async fn redrive(&self, tenant: TenantId, redrive: RedriveId) -> Result<Option<Redrive>, StoreError> {
        self.read(move |connection| Box::pin(one(connection, tenant, redrive))).await
    }

    async fn redrives(
        &self,
        tenant: TenantId,
        before: Option<RedriveId>,
        rows_max: usize,
    ) -> Result<Vec<Redrive>, StoreError> {
        self.read(move |connection| Box::pin(list(connection, tenant, before, rows_max))).await
    }

    async fn steer_redrive(
        &self,
        tenant: TenantId,
        redrive: RedriveId,
        steer: Steer,
    ) -> Result<Option<Redrive>, StoreError> {
        self.write(1, async move |tx| self::steer(tx, tenant, redrive, &steer).await.map_err(from_postgres)).await
    }

    async fn running_redrives(&self) -> Result<Vec<(TenantId, RedriveId)>, StoreError> {
        self.read(|connection| Box::pin(running(connection))).await
    }

    async fn dead_after(&self, tenant: TenantId, look: DeadLook) -> Result<Stretch<DeadLetter>, StoreError> {
        self.read(move |connection| Box::pin(look::dead_after(connection, tenant, look))).await
    }

    async fn events_after(&self, tenant: TenantId, look: EventLook) -> Result<Stretch<PastEvent>, StoreError> {
        self.read(move |connection| Box::pin(look::events_after(connection, tenant, look))).await
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
        self.write(rows, async move |tx| slice::carry_out(tx, tenant, &slice, now).await.map_err(from_postgres)).await
    }
}

async fn begin(tx: &mut Tx, tenant: TenantId, new: &NewRedrive, now: Timestamp) -> Result<Option<Redrive>, Error> {
    let sql = "SELECT count(*) FROM redrives WHERE tenant_id = $1 AND ended_at IS NULL";
    let open: i64 = query_one(&tx.connection, sql, &[&tenant.0]).await?.try_get(0)?;
    if open >= i64::from(OPEN_MAX) {
        return Ok(None);
    }
    let up_to = match new.source {
        Source::Dead => tx.sequences.delivery - 1,
        Source::History => tx.sequences.event - 1,
    };
    let id = next(&mut tx.sequences.redrive);
    let sql = format!(
        "INSERT INTO redrives (id, tenant_id, source, wanted, pace, progress, up_to, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING {COLUMNS}"
    );
    let row = query_one(
        &tx.connection,
        &sql,
        &[
            &id,
            &tenant.0,
            &new.source.name(),
            &wanted_json(&new.wanted),
            &i64::from(new.pace),
            &Progress::Running.name(),
            &up_to,
            &now.as_ms(),
        ],
    )
    .await?;
    read(&row).map(Some)
}

async fn one(connection: &Connection, tenant: TenantId, redrive: RedriveId) -> Result<Option<Redrive>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM redrives WHERE tenant_id = $1 AND id = $2");
    query_opt(connection, &sql, &[&tenant.0, &redrive.0]).await?.map(|row| read(&row)).transpose()
}

async fn list(
    connection: &Connection,
    tenant: TenantId,
    before: Option<RedriveId>,
    rows_max: usize,
) -> Result<Vec<Redrive>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM redrives WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    let before = before.map_or(i64::MAX, |before| before.0);
    query(connection, &sql, &[&tenant.0, &before, &limit(rows_max)]).await?.iter().map(read).collect()
}

async fn steer(tx: &mut Tx, tenant: TenantId, redrive: RedriveId, steer: &Steer) -> Result<Option<Redrive>, Error> {
    let ended_at = steer.to.is_over().then_some(steer.now.as_ms());
    let sql = "UPDATE redrives SET progress = $3, note = $4, ended_at = $5
               WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL";
    let note = text(&steer.note);
    execute(&tx.connection, sql, &[&tenant.0, &redrive.0, &steer.to.name(), &note, &ended_at]).await?;
    one(&tx.connection, tenant, redrive).await
}

async fn running(connection: &Connection) -> Result<Vec<(TenantId, RedriveId)>, Error> {
    let sql = "SELECT tenant_id, id FROM redrives WHERE progress = 'running' ORDER BY id";
    let ids = |row: &Row| Ok((TenantId(row.try_get(0)?), RedriveId(row.try_get(1)?)));
    query(connection, sql, &[]).await?.iter().map(ids).collect()
}

const COLUMNS: &str = "id, tenant_id, source, wanted, pace, progress, note, reached, up_to, examined, redriven, \
                       skipped, created_at, ended_at";

fn read(row: &Row) -> Result<Redrive, Error> {
    let (Told(source), Told(wanted), Told(progress)) = (row.try_get(2)?, row.try_get(3)?, row.try_get(5)?);
    Ok(Redrive {
        id: RedriveId(row.try_get(0)?),
        tenant: TenantId(row.try_get(1)?),
        source,
        wanted,
        pace: unsigned(row, 4)?,
        progress,
        note: row.try_get(6)?,
        reached: row.try_get(7)?,
        up_to: row.try_get(8)?,
        examined: unsigned(row, 9)?,
        redriven: unsigned(row, 10)?,
        skipped: unsigned(row, 11)?,
        created_at: Timestamp::from_ms(row.try_get(12)?),
        ended_at: row.try_get::<_, Option<i64>>(13)?.map(Timestamp::from_ms),
    })
}

/// What a text tells, which this version must know: a condition that is passed over would take more than was wanted.
struct Told<T>(T);

trait Parse: Sized {
    fn parse_told(text: &str) -> Option<Self>;
}

impl Parse for Source {
    fn parse_told(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Parse for Progress {
    fn parse_told(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Parse for Wanted {
    fn parse_told(text: &str) -> Option<Self> {
        read_wanted(text)
    }
}

impl<'a, T: Parse> FromSql<'a> for Told<T> {
    fn from_sql(column: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let text = <&str>::from_sql(column, raw)?;
        T::parse_told(text).map(Self).ok_or_else(|| Unknown(text.to_owned()).into())
    }

    fn accepts(column: &Type) -> bool {
        <&str as FromSql>::accepts(column)
    }
}
