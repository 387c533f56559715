//! A backlog in one go: the rows that the store would have written if it had accepted millions of deliveries, some of them
//! tried and failed.
//!
//! Only for the simulator, which begins with a million of them; row by row they would take minutes. A backlog is rounds: the
//! same events for the same channels, again and again. The simulator's tests hold it, row for row, against one that came the
//! way of all events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::delivery::AttemptRecord;
use domain::ids::ID_MAX;
use domain::outcome::Outcome;
use domain::{ChannelId, DeliveryId, EventId, StepsDone, TenantId, Timestamp};
use rusqlite::{Connection, params};

use super::segments::Kind;
use super::{DATABASE_FILE, connect_for_reading, from_sqlite};
use crate::queue::{Next, Settlement};
use crate::sums::bucket_of;
use crate::{StoreError, blob};

/// In an event's data this stands for its id.
pub const ID_MARK: &str = "#";

/// How long after its event a delivery was tried first, and then again.
const TRY_AFTER: Duration = Duration::from_millis(10);

const TRY_TOOK_MS: u32 = 5;
const TRY_NOTE: &str = "the receiver answered 503";
const WAIT_NOTE: &str = "the receiver answered 503; it is tried again";

/// What waits.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The events of each round, in one request.
    pub events: Vec<PastEvent>,
    pub rounds: i64,
    /// When the first round came, and how long each next one took to come.
    pub began_at: Timestamp,
    pub every: Duration,
    /// As the store is opened with.
    pub segment_rows_max: u64,
}

/// An event of each round.
#[derive(Clone, Debug)]
pub struct PastEvent {
    pub tenant: TenantId,
    pub event_type: String,
    /// A JSON object; see [`ID_MARK`].
    pub data: String,
    /// In order of channel.
    pub deliveries: Vec<PastDelivery>,
}

/// One of its deliveries.
#[derive(Clone, Debug)]
pub struct PastDelivery {
    pub channel: ChannelId,
    pub lives: Duration,
    /// All of them failed. One that has none is pending.
    pub tries: u32,
    /// When it is tried again, counted from its event. Nothing to one that is pending.
    pub due_after: Duration,
}

/// A delivery of a backlog, by its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'b> {
    pub round: i64,
    /// Counted from the first event of the backlog.
    pub event: i64,
    pub of: &'b PastEvent,
    pub delivery: &'b PastDelivery,
}

impl Backlog {
    /// When a round came.
    pub fn at(&self, round: i64) -> Timestamp {
        self.began_at.after(self.every * u32::try_from(round).unwrap_or(u32::MAX))
    }

    /// The deliveries of a round, in order of id.
    pub fn round(&self, round: i64) -> impl Iterator<Item = Placed<'_>> {
        let first = round * self.per_round().events;
        let events = (first..).zip(&self.events);
        events.flat_map(move |(event, of)| {
            of.deliveries.iter().map(move |delivery| Placed { round, event, of, delivery })
        })
    }

    /// The delivery in this place, counted from the first; `None` beyond the last.
    pub fn placed(&self, place: i64) -> Option<Placed<'_>> {
        let per_round = self.per_round().deliveries;
        let round = place.checked_div(per_round).filter(|round| place >= 0 && *round < self.rounds)?;
        self.round(round).nth(usize::try_from(place % per_round).ok()?)
    }

    pub fn deliveries(&self) -> i64 {
        self.rounds * self.per_round().deliveries
    }

    /// What became of the tries of a round, in the order in which they were made. Its first event and delivery have these
    /// ids.
    pub fn settlements(&self, round: i64, event: EventId, delivery: DeliveryId) -> Vec<Settlement> {
        let first = round * self.per_round().events;
        let ids = (delivery.0..).map(DeliveryId);
        let placed = ids.zip(self.round(round));
        placed
            .flat_map(|(id, placed)| {
                let event = EventId(event.0 + placed.event - first);
                (1..=placed.delivery.tries).map(move |number| self.settlement(placed, event, id, number))
            })
            .collect()
    }

    fn settlement(&self, placed: Placed<'_>, event: EventId, delivery: DeliveryId, number: u32) -> Settlement {
        let created_at = self.at(placed.round);
        let Placed { of, delivery: past, .. } = placed;
        Settlement {
            delivery,
            channel: past.channel,
            tenant: of.tenant,
            event,
            event_type: of.event_type.as_str().into(),
            provider: "webhook".into(),
            created_at,
            expires_at: created_at.after(past.lives),
            settled_at: created_at.after(TRY_AFTER * number),
            tries_before: number - 1,
            digest: None,
            records: vec![AttemptRecord {
                number,
                step: 0,
                outcome: Outcome::retry(TRY_NOTE),
                code: Some(503),
                body: String::new(),
                started_at: created_at.after(TRY_AFTER * number),
                duration_ms: TRY_TOOK_MS,
            }],
            inbox: Vec::new(),
            attempts: number,
            steps_done: StepsDone::NONE,
            next: Next::Wait { due_at: created_at.after(past.due_after), note: WAIT_NOTE.to_owned() },
        }
    }

    fn per_round(&self) -> PerRound {
        let deliveries = self.events.iter().flat_map(|event| &event.deliveries);
        PerRound {
            events: count(self.events.iter()),
            deliveries: count(deliveries.clone()),
            tries: deliveries.map(|delivery| i64::from(delivery.tries)).sum(),
        }
    }

    /// Writes it into a database that has its channels, and in which nothing was ever accepted. The store must not be open.
    pub fn write(&self, data_dir: &Path) -> Result<(), StoreError> {
        self.write_all(data_dir).map_err(from_sqlite)
    }

    fn write_all(&self, data_dir: &Path) -> rusqlite::Result<()> {
        let connection = Connection::open(data_dir.join(DATABASE_FILE))?;
        // A crash meanwhile leaves nothing that anybody wants.
        connection.execute_batch(
            "PRAGMA journal_mode = DELETE;
             PRAGMA journal_mode = OFF;
             PRAGMA synchronous = OFF;
             PRAGMA cache_size = -65536;
             PRAGMA temp_store = MEMORY;
             BEGIN;",
        )?;
        self.say_rounds(&connection)?;
        let [event, delivery, attempt]: [i64; 3] =
            connection.query_row("SELECT event, delivery, attempt FROM sequences", [], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?])
            })?;
        let per_round = self.per_round();
        connection.execute(INSERT_EVENTS, params![event, delivery, per_round.events, per_round.deliveries])?;
        connection
            .execute(INSERT_QUEUE, params![event, delivery, per_round.events, per_round.deliveries, WAIT_NOTE])?;
        self.insert_attempts(&connection, [event, delivery, attempt])?;
        connection.execute(INSERT_WAITING, [])?;
        self.insert_counters(&connection)?;
        connection.execute(
            "UPDATE sequences
             SET event = event + ?1, delivery = delivery + ?2, attempt = attempt + ?3",
            params![self.rounds * per_round.events, self.deliveries(), self.rounds * per_round.tries],
        )?;
        // A segment is closed by the batch that comes after it is full, and each round is two batches.
        let is_tried = per_round.tries > 0;
        let last_round = if is_tried { self.rounds } else { self.rounds - 1 };
        self.close_segments(&connection, Kind::Events, (event, per_round.events), last_round)?;
        self.close_segments(&connection, Kind::Attempts, (attempt, per_round.tries), self.rounds - 1)?;
        connection.execute_batch("COMMIT")
    }

    /// Tells SQL of the rounds.
    fn say_rounds(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(ROUNDS)?;
        connection.execute(FILL_ROUNDS, params![self.rounds, self.began_at.as_ms(), ms(self.every)])?;
        let mut place: i64 = 0;
        let mut try_place: i64 = 0;
        for (event_place, event) in (0_i64..).zip(&self.events) {
            connection.execute(
                "INSERT INTO temp.past_events VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    event_place,
                    event.tenant.0,
                    event.event_type,
                    event.data,
                    place,
                    blob::encode_channels(event.deliveries.iter().map(|delivery| delivery.channel)),
                ],
            )?;
            for delivery in &event.deliveries {
                connection.execute(
                    "INSERT INTO temp.past_deliveries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        place,
                        event_place,
                        event.tenant.0,
                        event.event_type,
                        delivery.channel.0,
                        ms(delivery.lives),
                        delivery.tries,
                        ms(delivery.due_after),
                    ],
                )?;
                for number in 1..=delivery.tries {
                    connection.execute(
                        "INSERT INTO temp.past_tries VALUES (?1, ?2, ?3, ?4)",
                        params![try_place, place, number, ms(TRY_AFTER * number)],
                    )?;
                    try_place += 1;
                }
                place += 1;
            }
        }
        Ok(())
    }

    fn insert_attempts(&self, connection: &Connection, [event, delivery, attempt]: [i64; 3]) -> rusqlite::Result<()> {
        let per_round = self.per_round();
        let failed = Outcome::retry(TRY_NOTE);
        connection.execute(
            INSERT_ATTEMPTS,
            params![
                event,
                delivery,
                attempt,
                per_round.events,
                per_round.deliveries,
                per_round.tries,
                failed.class.name(),
                failed.scope.name(),
                failed.note,
                TRY_TOOK_MS,
            ],
        )?;
        Ok(())
    }

    fn insert_counters(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut counts: BTreeMap<(i64, i64, i64, Arc<str>, &str), i64> = BTreeMap::new();
        for round in 0..self.rounds {
            let at = self.at(round);
            for event in &self.events {
                let event_type: Arc<str> = event.event_type.as_str().into();
                let key = (event.tenant.0, bucket_of(at), 0, Arc::clone(&event_type), "event");
                *counts.entry(key).or_default() += 1;
                for delivery in &event.deliveries {
                    for number in 1..=delivery.tries {
                        let bucket = bucket_of(at.after(TRY_AFTER * number));
                        let event_type = Arc::clone(&event_type);
                        let key = (event.tenant.0, bucket, delivery.channel.0, event_type, "failed");
                        *counts.entry(key).or_default() += 1;
                    }
                }
            }
        }
        let mut insert = connection.prepare(
            "INSERT INTO counters (tenant_id, bucket, channel_id, event_type, status, count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for ((tenant, bucket, channel, event_type, status), count) in counts {
            insert.execute(params![tenant, bucket, channel, event_type, status, count])?;
        }
        Ok(())
    }

    /// Closes what is full of a kind that has so many rows in each round, after this many rounds.
    fn close_segments(
        &self,
        connection: &Connection,
        kind: Kind,
        (first_id, per_round): (i64, i64),
        rounds: i64,
    ) -> rusqlite::Result<()> {
        if per_round == 0 {
            return Ok(());
        }
        let rows_max = i64::try_from(self.segment_rows_max).unwrap_or(i64::MAX);
        let rounds_each = rows_max / per_round + i64::from(rows_max % per_round > 0);
        let rows = rounds_each.saturating_mul(per_round);
        let closed = rounds.max(0) / rounds_each;
        for number in 1..=closed {
            let first = first_id + (number - 1) * rows;
            connection.execute(
                "UPDATE segments
                 SET first_id = ?3, last_id = ?4, rows = ?5
                 WHERE kind = ?1 AND number = ?2",
                params![kind.name(), number, first, first + rows - 1, rows],
            )?;
            connection.execute(
                "INSERT INTO segments (kind, number, first_id, last_id, form)
                 VALUES (?1, ?2, ?3, ?4, 0)",
                params![kind.name(), number + 1, first + rows, ID_MAX],
            )?;
        }
        Ok(())
    }
}

/// How many rows each round is.
#[derive(Clone, Copy, Debug)]
struct PerRound {
    events: i64,
    deliveries: i64,
    tries: i64,
}

fn count<T>(things: impl Iterator<Item = T>) -> i64 {
    i64::try_from(things.count()).unwrap_or(i64::MAX)
}

fn ms(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

const ROUNDS: &str = "
    CREATE TEMP TABLE rounds (round INTEGER PRIMARY KEY, at INTEGER NOT NULL);
    CREATE TEMP TABLE past_events (
        place INTEGER PRIMARY KEY, tenant, type, data, first_delivery, channels
    );
    CREATE TEMP TABLE past_deliveries (
        place INTEGER PRIMARY KEY, event, tenant, type, channel, lives_ms, tries, due_after_ms
    );
    CREATE TEMP TABLE past_tries (place INTEGER PRIMARY KEY, delivery, number, after_ms);
    CREATE INDEX temp.past_by_channel ON past_deliveries (channel, place);";

const FILL_ROUNDS: &str = "
    WITH RECURSIVE counted (round) AS (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT round + 1 FROM counted WHERE round + 1 < ?1)
    INSERT INTO temp.rounds SELECT round, ?2 + round * ?3 FROM counted";

// Rows are made in the order of their key, so that each table grows at its end.

const INSERT_EVENTS: &str =
    "INSERT INTO events (id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version,
                        first_delivery, channels, skipped, skipped_more, trace)
     SELECT ?1 + round * ?3 + place, tenant, type, replace(data, '#', ?1 + round * ?3 + place), at, NULL, at, NULL,
            (SELECT config_version FROM sequences), ?2 + round * ?4 + first_delivery, channels, x'', 0, NULL
     FROM temp.rounds CROSS JOIN temp.past_events
     ORDER BY round, place";

const INSERT_QUEUE: &str =
    "INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, due_at, attempts, tries, note)
     SELECT past.channel, ?2 + round * ?4 + past.place, past.tenant, ?1 + round * ?3 + past.event, at, at + lives_ms,
            iif(tries > 0, at + due_after_ms, 0), tries, tries, iif(tries > 0, ?5, '')
     FROM (SELECT DISTINCT channel FROM temp.past_deliveries ORDER BY channel) AS one
     CROSS JOIN temp.rounds
     CROSS JOIN temp.past_deliveries AS past ON past.channel = one.channel";

const INSERT_ATTEMPTS: &str =
    "INSERT INTO attempts (id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number, step, class,
                          scope, code, hint_ms, reference, note, body, started_at, duration_ms, digest_id, gave_up)
     SELECT ?3 + round * ?6 + one.place, ?2 + round * ?5 + past.place, tenant, channel, ?1 + round * ?4 + past.event,
            'webhook', type, number, 0, ?7, ?8, 503, NULL, NULL, ?9, '', at + after_ms, ?10, NULL, 0
     FROM temp.rounds CROSS JOIN temp.past_tries AS one JOIN temp.past_deliveries AS past ON past.place = one.delivery
     ORDER BY round, one.place";

const INSERT_WAITING: &str = "INSERT INTO waiting (channel_id, tenant_id, pending, retrying, dead)
     SELECT channel, tenant, SUM(tries = 0) * rounds, SUM(tries > 0) * rounds, 0
     FROM temp.past_deliveries CROSS JOIN (SELECT COUNT(*) AS rounds FROM temp.rounds)
     WHERE rounds > 0
     GROUP BY channel, tenant";

/// What there is of a channel's deliveries, counted row by row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub pending: u64,
    pub retrying: u64,
    pub dead: u64,
    /// Sent, cancelled or expired.
    pub settled: u64,
    /// Rows of deliveries that another row is of as well.
    pub twice: u64,
}

/// Counts what there is. Reads beside a running store.
pub fn count_rows(data_dir: &Path) -> Result<BTreeMap<ChannelId, Counted>, StoreError> {
    let connection = connect_for_reading(&data_dir.join(DATABASE_FILE))?;
    let mut counted: BTreeMap<ChannelId, Counted> = BTreeMap::new();
    let mut add = |sql: &str, add: fn(&mut Counted, u64)| -> rusqlite::Result<()> {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let count: i64 = row.get(1)?;
            add(counted.entry(ChannelId(row.get(0)?)).or_default(), u64::try_from(count).unwrap_or(0));
        }
        Ok(())
    };
    add("SELECT channel_id, SUM(tries = 0) FROM queue GROUP BY channel_id", |one, count| one.pending = count)
        .and_then(|()| {
            add("SELECT channel_id, SUM(tries > 0) FROM queue GROUP BY channel_id", |one, count| one.retrying = count)
        })
        .and_then(|()| add("SELECT channel_id, COUNT(*) FROM dead GROUP BY channel_id", |one, count| one.dead = count))
        .and_then(|()| {
            add("SELECT channel_id, COUNT(*) FROM settled GROUP BY channel_id", |one, count| one.settled = count)
        })
        .and_then(|()| add(TWICE, |one, count| one.twice = count))
        .map_err(from_sqlite)?;
    Ok(counted)
}

const TWICE: &str = "
    SELECT over.channel, COUNT(*) - COUNT(DISTINCT over.delivery)
                         + SUM(EXISTS (SELECT 1 FROM queue WHERE channel_id = over.channel AND delivery_id = over.delivery))
    FROM (SELECT channel_id AS channel, id AS delivery FROM settled
          UNION ALL
          SELECT channel_id, delivery_id FROM dead) AS over
    GROUP BY over.channel";
