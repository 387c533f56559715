//! Idempotency keys of the last 24 hours: what a batch asks for, and what it adds.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use tokio_postgres::Error;

use super::super::rows::NewLedgerRow;
use super::super::statements::{Connection, query};
use super::super::tx::Tx;
use crate::blob;
use crate::queue::{AcceptAnswer, AcceptRequest, AcceptedEvent, IDEMPOTENCY_KEPT_MS, IdempotencyKey};

/// The keys of a batch: what they stood for before it, and what they stand for within it.
#[derive(Default)]
pub(super) struct Ledger {
    /// Newest last.
    entries: BTreeMap<(TenantId, [u8; 32]), Vec<LedgerEntry>>,
    /// The events behind them.
    events: BTreeMap<EventId, AcceptedEvent>,
    has_keys: bool,
}

#[derive(Clone, Copy)]
pub(super) struct LedgerEntry {
    body_hash: [u8; 32],
    pub(super) first_event: i64,
    pub(super) events: i64,
    kept_at: i64,
}

impl Ledger {
    /// What is known of the keys of these requests. Asks nothing when they have none.
    pub(super) async fn of(connection: &Connection, requests: &[&AcceptRequest]) -> Result<Self, Error> {
        let mut keys: BTreeSet<(TenantId, [u8; 32])> = BTreeSet::new();
        let mut tenants: BTreeSet<i64> = BTreeSet::new();
        for request in requests {
            keys.extend(request.key.iter().map(|key| (request.tenant, key.key_hash)));
            for event in &request.events {
                keys.extend(event.key.iter().map(|key| (event.content.tenant, key.key_hash)));
                tenants.insert(event.content.tenant.0);
            }
        }
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let mut ledger = Self { has_keys: true, ..Self::default() };
        ledger.read_entries(connection, &keys).await?;
        let oldest = requests.iter().map(|request| request.now.as_ms()).min().unwrap_or(0) - IDEMPOTENCY_KEPT_MS;
        let live = ledger.entries.values().flatten().filter(|entry| entry.kept_at > oldest);
        let ids: BTreeSet<i64> = live.flat_map(|entry| entry.first_event..entry.first_event + entry.events).collect();
        ledger.read_events(connection, &tenants, ids).await?;
        Ok(ledger)
    }

    async fn read_entries(
        &mut self,
        connection: &Connection,
        keys: &BTreeSet<(TenantId, [u8; 32])>,
    ) -> Result<(), Error> {
        let tenants: Vec<i64> = keys.iter().map(|(tenant, _)| tenant.0).collect();
        let hashes: Vec<&[u8]> = keys.iter().map(|(_, hash)| &hash[..]).collect();
        let sql = "SELECT tenant_id, key_hash, body_hash, event_id, events, kept_at
                   FROM unnest($1::bigint[], $2::bytea[]) AS asked (tenant_id, key_hash)
                   CROSS JOIN LATERAL (SELECT body_hash, event_id, events, kept_at FROM idempotency_even AS kept
                                       WHERE kept.tenant_id = asked.tenant_id AND kept.key_hash = asked.key_hash
                                       UNION ALL
                                       SELECT body_hash, event_id, events, kept_at FROM idempotency_odd AS kept
                                       WHERE kept.tenant_id = asked.tenant_id AND kept.key_hash = asked.key_hash
                                       LIMIT 2) AS found";
        for row in query(connection, sql, &[&tenants, &hashes]).await? {
            let key = (TenantId(row.try_get(0)?), hash(row.try_get(1)?));
            let entry = LedgerEntry {
                body_hash: hash(row.try_get(2)?),
                first_event: row.try_get(3)?,
                events: row.try_get(4)?,
                kept_at: row.try_get(5)?,
            };
            self.entries.entry(key).or_default().push(entry);
        }
        Ok(())
    }

    /// The answers for events that were accepted before, rebuilt from their rows.
    async fn read_events(
        &mut self,
        connection: &Connection,
        tenants: &BTreeSet<i64>,
        ids: BTreeSet<i64>,
    ) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let (tenants, ids): (Vec<_>, Vec<_>) = (tenants.iter().copied().collect(), ids.into_iter().collect());
        let sql = "SELECT found.id, found.first_delivery, found.channels,
                          (SELECT rest FROM expand WHERE expand.event_id = found.id)
                   FROM unnest($1::bigint[]) AS tenant (id)
                   CROSS JOIN unnest($2::bigint[]) AS asked (id)
                   CROSS JOIN LATERAL (SELECT known.id, first_delivery, channels FROM known_events AS known
                                       WHERE known.tenant_id = tenant.id AND known.id = asked.id
                                       LIMIT 1) AS found";
        for row in query(connection, sql, &[&tenants, &ids]).await? {
            let id = EventId(row.try_get(0)?);
            let deliveries = (row.try_get::<_, i64>(1)?..).map(DeliveryId);
            let channels: Vec<ChannelId> = blob::decode_channels(row.try_get(2)?);
            let rest: Option<&[u8]> = row.try_get(3)?;
            let expanding = rest.map_or(0, |rest| blob::decode_deliveries(rest).len());
            let deliveries = deliveries.zip(channels).collect();
            self.events.insert(id, AcceptedEvent { id, deliveries, expanding, is_repeat: true });
        }
        Ok(())
    }

    /// The refusal, when a key of the request stands for another body.
    pub(super) fn find_reused_key(&self, request: &AcceptRequest) -> Option<AcceptAnswer> {
        if let Some(key) = &request.key
            && self.entry(request.tenant, key, request.now).is_some_and(|entry| entry.body_hash != key.body_hash)
        {
            return Some(AcceptAnswer::KeyReused(None));
        }
        let mut in_request = BTreeMap::new();
        for (position, event) in request.events.iter().enumerate() {
            let Some(key) = &event.key else { continue };
            let tenant = event.content.tenant;
            let earlier = in_request.insert((tenant, key.key_hash), key.body_hash);
            let kept = self.entry(tenant, key, request.now).map(|entry| entry.body_hash);
            if earlier.or(kept).is_some_and(|body_hash| body_hash != key.body_hash) {
                return Some(AcceptAnswer::KeyReused(Some(position)));
            }
        }
        None
    }

    /// What a tenant's key stands for, unless it is forgotten by `now`.
    pub(super) fn entry(&self, tenant: TenantId, key: &IdempotencyKey, now: Timestamp) -> Option<LedgerEntry> {
        let entries = self.entries.get(&(tenant, key.key_hash))?;
        entries.iter().rev().find(|entry| entry.kept_at > now.as_ms() - IDEMPOTENCY_KEPT_MS).copied()
    }

    /// The answer for an event that was accepted before, also earlier in this batch.
    pub(super) fn repeat_of(&self, event: EventId) -> Option<AcceptedEvent> {
        self.events.get(&event).cloned()
    }

    /// Remembers an event that this batch has made, in case that it repeats it.
    pub(super) fn remember(&mut self, event: &AcceptedEvent) {
        if self.has_keys {
            self.events.insert(event.id, AcceptedEvent { is_repeat: true, ..event.clone() });
        }
    }

    /// Remembers from `now` on that a tenant's key stands for so many events from the first on.
    pub(super) fn write(
        &mut self,
        tx: &mut Tx,
        tenant: TenantId,
        key: &IdempotencyKey,
        (first_event, events): (i64, i64),
        now: Timestamp,
    ) {
        let day = now.as_ms().div_euclid(IDEMPOTENCY_KEPT_MS);
        let table = usize::from(day % 2 != 0);
        // The first key of a new day finds only keys of two days before: the table is emptied whole. When the clock goes
        // back, keys go to the tables as they are.
        if day > tx.sequences.idempotency_day {
            tx.rows.begins_ledger(table);
            tx.sequences.idempotency_day = day;
        }
        let row = NewLedgerRow { body_hash: key.body_hash, first_event, events, kept_at: now };
        tx.rows.ledger[table].insert((tenant, key.key_hash), row);
        let entry = LedgerEntry { body_hash: key.body_hash, first_event, events, kept_at: now.as_ms() };
        self.entries.entry((tenant, key.key_hash)).or_default().push(entry);
    }
}

/// A SHA-256 as its column holds it.
fn hash(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}
