//! The open transaction, as jobs see it: ids to hand out, rows and sums to write at its end, arrivals to announce.
//!
//! Nothing here outlives a transaction that is rolled back: the writer keeps its memory only when it was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use domain::{ChannelId, TenantId, Timestamp};
use tokio_postgres::Error;

use super::retention::Leaving;
use super::rows::Rows;
use super::statements::{Connection, execute, text};
use crate::queue::Arrival;
use crate::sums::{CountKey, Shift, bucket_of};

/// The ids that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequences {
    pub config_version: i64,
    pub tenant: i64,
    pub api_key: i64,
    pub channel: i64,
    pub subscription: i64,
    pub event: i64,
    pub delivery: i64,
    pub attempt: i64,
    pub digest: i64,
    pub redrive: i64,
    /// Not an id: the last day whose table of idempotency keys was begun.
    pub idempotency_day: i64,
    /// Not an id: the number of the writer's last transaction.
    pub batch: i64,
}

impl Sequences {
    pub(super) async fn load(connection: &Connection) -> Result<Self, Error> {
        let row = connection
            .query_one(
                "SELECT config_version, tenant, api_key, channel, subscription, event, delivery, attempt,
                        idempotency_day, batch, digest, redrive
                 FROM sequences",
                &[],
            )
            .await?;
        Ok(Self {
            config_version: row.try_get(0)?,
            tenant: row.try_get(1)?,
            api_key: row.try_get(2)?,
            channel: row.try_get(3)?,
            subscription: row.try_get(4)?,
            event: row.try_get(5)?,
            delivery: row.try_get(6)?,
            attempt: row.try_get(7)?,
            idempotency_day: row.try_get(8)?,
            batch: row.try_get(9)?,
            digest: row.try_get(10)?,
            redrive: row.try_get(11)?,
        })
    }

    async fn save(&self, connection: &Connection) -> Result<(), Error> {
        let sql = "UPDATE sequences
                   SET config_version = $1, tenant = $2, api_key = $3, channel = $4, subscription = $5, event = $6,
                       delivery = $7, attempt = $8, redrive = $9, idempotency_day = $10, batch = $11, digest = $12";
        execute(
            connection,
            sql,
            &[
                &self.config_version,
                &self.tenant,
                &self.api_key,
                &self.channel,
                &self.subscription,
                &self.event,
                &self.delivery,
                &self.attempt,
                &self.redrive,
                &self.idempotency_day,
                &self.batch,
                &self.digest,
            ],
        )
        .await
        .map(drop)
    }
}

/// Takes the next number of a sequence.
pub(super) fn next(sequence: &mut i64) -> i64 {
    let number = *sequence;
    *sequence += 1;
    number
}

/// What happened in a transaction, summed up as it happens.
#[derive(Default)]
struct Happened {
    counts: BTreeMap<CountKey, i64>,
    shifts: BTreeMap<ChannelId, (TenantId, Shift)>,
}

impl Happened {
    async fn save_counts(&self, connection: &Connection) -> Result<(), Error> {
        if self.counts.is_empty() {
            return Ok(());
        }
        let keys = || self.counts.keys();
        let tenants: Vec<_> = keys().map(|key| key.0.0).collect();
        let buckets: Vec<_> = keys().map(|key| key.1).collect();
        let channels: Vec<_> = keys().map(|key| key.2.0).collect();
        let types: Vec<_> = keys().map(|key| text(&key.3)).collect();
        let statuses: Vec<_> = keys().map(|key| key.4).collect();
        let counts: Vec<_> = self.counts.values().copied().collect();
        let sql = "INSERT INTO counters (tenant_id, bucket, channel_id, event_type, status, count)
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
                   ON CONFLICT (tenant_id, bucket, channel_id, event_type, status)
                   DO UPDATE SET count = counters.count + excluded.count";
        execute(connection, sql, &[&tenants, &buckets, &channels, &types, &statuses, &counts]).await.map(drop)
    }

    async fn save_shifts(&self, connection: &Connection) -> Result<(), Error> {
        let shifts: Vec<_> = self.shifts.iter().filter(|(_, (_, shift))| *shift != Shift::default()).collect();
        if shifts.is_empty() {
            return Ok(());
        }
        let channels: Vec<_> = shifts.iter().map(|(channel, _)| channel.0).collect();
        let tenants: Vec<_> = shifts.iter().map(|(_, (tenant, _))| tenant.0).collect();
        let pending: Vec<_> = shifts.iter().map(|(_, (_, shift))| shift.pending).collect();
        let retrying: Vec<_> = shifts.iter().map(|(_, (_, shift))| shift.retrying).collect();
        let dead: Vec<_> = shifts.iter().map(|(_, (_, shift))| shift.dead).collect();
        let sql = "INSERT INTO waiting (channel_id, tenant_id, pending, retrying, dead)
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                   ON CONFLICT (channel_id)
                   DO UPDATE SET pending = waiting.pending + excluded.pending,
                                 retrying = waiting.retrying + excluded.retrying,
                                 dead = waiting.dead + excluded.dead";
        execute(connection, sql, &[&channels, &tenants, &pending, &retrying, &dead]).await.map(drop)
    }

    /// How often each status was counted.
    fn by_status(&self) -> Vec<(&'static str, u64)> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for ((.., status), count) in &self.counts {
            *sums.entry(status).or_default() += count.unsigned_abs();
        }
        sums.into_iter().collect()
    }
}

/// What the writer knows without asking the database.
#[derive(Clone)]
pub(super) struct Memory {
    pub sequences: Sequences,
    /// Tenants that were deleted, also those that are erased by now.
    pub gone: Arc<BTreeSet<TenantId>>,
    pub leaving: Leaving,
}

/// The open transaction.
pub(super) struct Tx {
    pub connection: Rc<Connection>,
    pub sequences: Sequences,
    pub gone: Arc<BTreeSet<TenantId>>,
    pub leaving: Leaving,
    /// What is written in one statement for each table, at the end or before a job that reads.
    pub rows: Rows,
    arrivals: Vec<Arrival>,
    happened: Happened,
}

/// What is left of a transaction when it is committed.
pub(super) struct Done {
    pub memory: Memory,
    pub arrivals: Vec<Arrival>,
    /// How often each status was counted.
    pub counts: Vec<(&'static str, u64)>,
}

impl Tx {
    /// A transaction that nothing has happened in.
    pub(super) fn new(connection: Rc<Connection>, memory: &Memory) -> Self {
        let Memory { mut sequences, gone, leaving } = memory.clone();
        sequences.batch += 1;
        let (rows, happened) = (Rows::default(), Happened::default());
        Self { connection, sequences, gone, leaving, rows, arrivals: Vec::new(), happened }
    }

    /// Announces a delivery, once the batch is durable.
    pub(super) fn announce(&mut self, arrival: Arrival) {
        self.arrivals.push(arrival);
    }

    /// Counts something that happened at `at`.
    pub(super) fn count(
        &mut self,
        tenant: TenantId,
        channel: ChannelId,
        event_type: &Arc<str>,
        status: &'static str,
        at: Timestamp,
    ) {
        let bucket = bucket_of(at);
        let key = (tenant, bucket, channel, Arc::clone(event_type), status);
        *self.happened.counts.entry(key).or_default() += 1;
    }

    /// Whether this batch will write sums of a tenant at its end.
    pub(super) fn has_counted(&self, tenant: TenantId) -> bool {
        let Happened { counts, shifts } = &self.happened;
        counts.keys().any(|key| key.0 == tenant) || shifts.values().any(|(of, _)| *of == tenant)
    }

    /// How many more (or fewer) deliveries of a channel wait by this batch than its sums say yet.
    pub(super) fn shifted(&self, channel: ChannelId) -> i64 {
        self.happened.shifts.get(&channel).map_or(0, |(_, shift)| shift.pending + shift.retrying)
    }

    /// Notes that so many more (or fewer) deliveries of a channel wait.
    pub(super) fn shift(&mut self, tenant: TenantId, channel: ChannelId, shift: Shift) {
        let (_, sum) = self.happened.shifts.entry(channel).or_insert((tenant, Shift::default()));
        sum.pending += shift.pending;
        sum.retrying += shift.retrying;
        sum.dead += shift.dead;
    }

    /// Writes the rows that were collected.
    pub(super) async fn write_rows(&mut self) -> Result<(), Error> {
        Box::pin(std::mem::take(&mut self.rows).write(&self.connection)).await
    }

    /// Writes everything that is left to write, in one go. What follows is COMMIT.
    pub(super) async fn finish(self) -> Result<Done, Error> {
        let connection = &*self.connection;
        tokio::try_join!(
            Box::pin(self.rows.write(connection)),
            self.happened.save_counts(connection),
            self.happened.save_shifts(connection),
            self.sequences.save(connection),
        )?;
        let counts = self.happened.by_status();
        let Self { sequences, gone, leaving, arrivals, .. } = self;
        Ok(Done { memory: Memory { sequences, gone, leaving }, arrivals, counts })
    }
}
