//! The open transaction, as jobs see it: ids to hand out, sums to write at its end, arrivals to announce.
//!
//! What the writer remembers is changed here as jobs run, and put back by it when the transaction is not committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{ChannelId, TenantId, Timestamp};
use rusqlite::{CachedStatement, Connection, params};

use super::from_sqlite;
use super::segments::Segments;
use crate::StoreError;
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
    /// Not an id: the last day whose table of idempotency keys was begun.
    pub idempotency_day: i64,
}

impl Sequences {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        connection
            .query_row(
                "SELECT config_version, tenant, api_key, channel, subscription, event, delivery, attempt, digest,
                        idempotency_day
                 FROM sequences",
                [],
                |row| {
                    Ok(Self {
                        config_version: row.get(0)?,
                        tenant: row.get(1)?,
                        api_key: row.get(2)?,
                        channel: row.get(3)?,
                        subscription: row.get(4)?,
                        event: row.get(5)?,
                        delivery: row.get(6)?,
                        attempt: row.get(7)?,
                        digest: row.get(8)?,
                        idempotency_day: row.get(9)?,
                    })
                },
            )
            .map_err(from_sqlite)
    }

    fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        connection
            .prepare_cached(
                "UPDATE sequences
                 SET config_version = ?1, tenant = ?2, api_key = ?3, channel = ?4, subscription = ?5,
                     event = ?6, delivery = ?7, attempt = ?8, digest = ?9, idempotency_day = ?10",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    self.config_version,
                    self.tenant,
                    self.api_key,
                    self.channel,
                    self.subscription,
                    self.event,
                    self.delivery,
                    self.attempt,
                    self.digest,
                    self.idempotency_day,
                ])
            })
            .map(drop)
            .map_err(from_sqlite)
    }
}

/// Takes the next number of a sequence.
pub(super) fn next(sequence: &mut i64) -> i64 {
    let number = *sequence;
    *sequence += 1;
    number
}

/// What happened in a batch, in order, so that the tail of a refused job can be cut off; summed when it is written.
#[derive(Default)]
struct Happened {
    counts: Vec<CountKey>,
    shifts: Vec<(TenantId, ChannelId, Shift)>,
}

impl Happened {
    /// Writes the sums. Returns how often each status was counted.
    fn save(self, connection: &Connection) -> rusqlite::Result<Vec<(&'static str, u64)>> {
        let mut counts: BTreeMap<CountKey, i64> = BTreeMap::new();
        let mut by_status: Vec<(&'static str, u64)> = Vec::new();
        for key in self.counts {
            // A handful of statuses: looking through them beats any map.
            match by_status.iter_mut().find(|(status, _)| *status == key.4) {
                Some((_, count)) => *count += 1,
                None => by_status.push((key.4, 1)),
            }
            *counts.entry(key).or_default() += 1;
        }
        let mut shifts: BTreeMap<ChannelId, (TenantId, Shift)> = BTreeMap::new();
        for (tenant, channel, shift) in self.shifts {
            let (_, sum) = shifts.entry(channel).or_insert((tenant, Shift::default()));
            sum.pending += shift.pending;
            sum.retrying += shift.retrying;
            sum.dead += shift.dead;
        }
        save_counts(connection, &counts)?;
        save_shifts(connection, &shifts)?;
        Ok(by_status)
    }
}

// Nearly every sum has its row already, and to update it costs a quarter less than `INSERT .. ON CONFLICT` does.

fn save_counts(connection: &Connection, counts: &BTreeMap<CountKey, i64>) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE counters
         SET count = count + ?6
         WHERE tenant_id = ?1 AND bucket = ?2 AND channel_id = ?3 AND event_type = ?4 AND status = ?5",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO counters (tenant_id, bucket, channel_id, event_type, status, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for ((tenant, bucket, channel, event_type, status), count) in counts {
        let values = params![tenant.0, bucket, channel.0, event_type, status, count];
        if update.execute(values)? == 0 {
            insert.execute(values)?;
        }
    }
    Ok(())
}

fn save_shifts(connection: &Connection, shifts: &BTreeMap<ChannelId, (TenantId, Shift)>) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE waiting
         SET pending = pending + ?2, retrying = retrying + ?3, dead = dead + ?4
         WHERE channel_id = ?1",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO waiting (channel_id, tenant_id, pending, retrying, dead)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (channel, (tenant, shift)) in shifts.iter().filter(|(_, (_, shift))| *shift != Shift::default()) {
        let Shift { pending, retrying, dead } = shift;
        if update.execute(params![channel.0, pending, retrying, dead])? == 0 {
            insert.execute(params![channel.0, tenant.0, pending, retrying, dead])?;
        }
    }
    Ok(())
}

/// A statement that a batch runs for each event or delivery.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hot {
    InsertEvent,
    InsertDelivery,
    LeaveQueue,
    InsertAttempt,
    InsertSettled,
}

impl Hot {
    const COUNT: usize = 5;
}

/// The open transaction, as jobs see it.
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sequences: &'a mut Sequences,
    pub(super) segments: &'a mut Segments,
    /// Tenants that were deleted, also those that are erased by now.
    pub(super) gone: &'a mut Arc<BTreeSet<TenantId>>,
    arrivals: Vec<Arrival>,
    happened: Happened,
    hot: [Option<CachedStatement<'a>>; Hot::COUNT],
}

/// How far a transaction had come before a job.
pub(super) struct Mark {
    sequences: Sequences,
    segments: Segments,
    arrivals: usize,
    counts: usize,
    shifts: usize,
}

/// What is left of a transaction when everything is written.
pub(super) struct Done {
    pub arrivals: Vec<Arrival>,
    /// How often each status was counted.
    pub counts: Vec<(&'static str, u64)>,
}

impl<'a> Tx<'a> {
    /// A transaction that nothing has happened in.
    pub(super) fn new(
        connection: &'a Connection,
        sequences: &'a mut Sequences,
        segments: &'a mut Segments,
        gone: &'a mut Arc<BTreeSet<TenantId>>,
    ) -> Self {
        let hot = [const { None }; Hot::COUNT];
        Self { connection, sequences, segments, gone, arrivals: Vec::new(), happened: Happened::default(), hot }
    }

    /// A statement that is taken out of the connection's cache once for the whole batch: to look it up there each time took a
    /// tenth of the writer's time.
    pub(super) fn hot(&mut self, which: Hot, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let statement = &mut self.hot[which as usize];
        match statement {
            Some(statement) => Ok(statement),
            None => Ok(statement.insert(self.connection.prepare_cached(sql)?)),
        }
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
        self.happened.counts.push((tenant, bucket, channel, Arc::clone(event_type), status));
    }

    /// Whether this batch will write sums of a tenant at its end.
    pub(super) fn has_counted(&self, tenant: TenantId) -> bool {
        let Happened { counts, shifts } = &self.happened;
        counts.iter().any(|count| count.0 == tenant) || shifts.iter().any(|shift| shift.0 == tenant)
    }

    /// How many more (or fewer) deliveries of a channel wait by this batch than its sums say yet.
    pub(super) fn shifted(&self, channel: ChannelId) -> i64 {
        let of_channel = self.happened.shifts.iter().filter(|(_, of, _)| *of == channel);
        of_channel.map(|(.., shift)| shift.pending + shift.retrying).sum()
    }

    /// Notes that so many more (or fewer) deliveries of a channel wait.
    pub(super) fn shift(&mut self, tenant: TenantId, channel: ChannelId, shift: Shift) {
        self.happened.shifts.push((tenant, channel, shift));
    }

    pub(super) fn mark(&self) -> Mark {
        let Happened { counts, shifts } = &self.happened;
        Mark {
            sequences: *self.sequences,
            segments: self.segments.clone(),
            arrivals: self.arrivals.len(),
            counts: counts.len(),
            shifts: shifts.len(),
        }
    }

    /// Forgets what a refused job has done. What it wrote is the savepoint's.
    pub(super) fn go_back(&mut self, mark: Mark) {
        (*self.sequences, *self.segments) = (mark.sequences, mark.segments);
        self.arrivals.truncate(mark.arrivals);
        self.happened.counts.truncate(mark.counts);
        self.happened.shifts.truncate(mark.shifts);
    }

    /// Writes everything that is left to write. What follows is COMMIT.
    pub(super) fn finish(self) -> Result<Done, StoreError> {
        let counts = self.happened.save(self.connection).map_err(from_sqlite)?;
        self.sequences.save(self.connection)?;
        Ok(Done { arrivals: self.arrivals, counts })
    }
}
