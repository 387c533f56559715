//! A past for a server that has none: events, deliveries and attempts as a long life leaves them.
//!
//! They are written through the store itself, in this process, while no server uses the data directory: accepted and
//! settled by the same calls as at any time, only without sending anything in between.

use crate::app::open_idle_store;
use anyhow::{Context as _, bail};
use domain::delivery::{AttemptRecord, State};
use domain::event::NewEvent;
use domain::outcome::Outcome;
use domain::routing::ConfigVersion;
use domain::verdict::Verdicts;
use domain::{ChannelId, ReasonCode, StepsDone, TenantId, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::Store;
use store::queue::{AcceptAnswer, AcceptEvent, AcceptRequest, AcceptedEvent, NewDelivery, Next, Settlement};

/// Events that are accepted at a time, and then settled.
const CHUNK: u64 = 1_000;

/// As kept of a receiver's answer.
const ANSWER: &str = "{\"status\":\"taken\",\"detail\":\"an answer of a usual length\"}";

/// What the past is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Each of an event of its own.
    pub(super) deliveries: u64,
    /// Tries of each delivery, the last of which brought it there.
    pub(super) attempts_each: u32,
    pub(super) event_bytes: usize,
    pub(super) begins_at: Timestamp,
    /// From one event to the next.
    pub(super) step: Duration,
}

/// Writes the past of the bench's tenant into a data directory; `written` counts deliveries meanwhile.
pub(super) async fn write(data_dir: &Path, past: Past, written: &AtomicU64) -> anyhow::Result<()> {
    let store = open_idle_store(data_dir)?;
    let snapshot = store.load().await?;
    let tenant = snapshot.tenants.iter().find(|tenant| tenant.slug == "bench").context("there is no tenant 'bench'")?;
    let mine = snapshot.channels.iter().filter(|stored| stored.channel.tenant == tenant.id);
    let writing = Writing {
        store: &*store,
        past,
        tenant: tenant.id,
        channels: mine.map(|stored| stored.channel.id).collect(),
        data: format!("{{\"text\":\"{}\"}}", "x".repeat(past.event_bytes.saturating_sub(40))).into_boxed_str().into(),
    };
    let mut accepted = Vec::new();
    while written.load(Ordering::Relaxed) < past.deliveries {
        let first = written.load(Ordering::Relaxed);
        let count = CHUNK.min(past.deliveries - first);
        // What was accepted is settled while the next is accepted, in the same commits.
        let (next, ()) = tokio::try_join!(writing.accept(first, count), writing.settle(&accepted))?;
        accepted = next;
        written.fetch_add(count, Ordering::Relaxed);
    }
    writing.settle(&accepted).await
}

struct Writing<'s> {
    store: &'s dyn Store,
    past: Past,
    tenant: TenantId,
    channels: Vec<ChannelId>,
    data: Arc<str>,
}

/// An event that was accepted, and when.
type Kept = (AcceptedEvent, Timestamp);

impl Writing<'_> {
    fn at(&self, number: u64) -> Timestamp {
        self.past.begins_at.after(self.past.step.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// Channels take turns, and each hears its own type.
    fn turn(&self, number: u64) -> usize {
        usize::try_from(number).unwrap_or(0) % self.channels.len()
    }

    async fn accept(&self, first: u64, count: u64) -> anyhow::Result<Vec<Kept>> {
        let now = self.at(first);
        let expires_at = now.after(Duration::from_hours(96));
        let event = |number| AcceptEvent {
            content: Arc::new(NewEvent {
                tenant: self.tenant,
                event_type: super::body::event_type(self.turn(number)).into(),
                data: Arc::clone(&self.data),
                occurred_at: now,
                severity: None,
                explicit_channels: None,
                trace: None,
            }),
            deliveries: vec![NewDelivery { channel: self.channels[self.turn(number)], expires_at }],
            verdicts: Verdicts::new(ConfigVersion(1), Vec::new()),
            key: None,
            attempts_max: None,
        };
        let events = (first..first + count).map(event).collect();
        match self.store.accept(AcceptRequest { tenant: self.tenant, now, key: None, events }).await? {
            AcceptAnswer::Kept(events) => Ok(events.into_iter().map(|event| (event, now)).collect()),
            AcceptAnswer::KeyReused(_) => bail!("an event without a key was taken for a repeat"),
        }
    }

    async fn settle(&self, kept: &[Kept]) -> anyhow::Result<()> {
        if kept.is_empty() {
            return Ok(());
        }
        let settlements: Arc<[Settlement]> = kept.iter().map(|(event, at)| self.settlement(event, *at)).collect();
        Ok(self.store.settle(settlements).await?)
    }

    fn settlement(&self, event: &AcceptedEvent, at: Timestamp) -> Settlement {
        let (delivery, channel) = event.deliveries[0];
        let attempts = self.past.attempts_each;
        let turn = self.channels.iter().position(|one| *one == channel).unwrap_or(0);
        Settlement {
            delivery,
            channel,
            tenant: self.tenant,
            event: event.id,
            event_type: super::body::event_type(turn).into(),
            provider: "webhook".into(),
            created_at: at,
            expires_at: at.after(Duration::from_hours(96)),
            settled_at: at.after(Duration::from_millis(3)),
            tries_before: 0,
            digest: None,
            records: (1..=attempts).map(|number| record(number, number == attempts, at)).collect(),
            inbox: Vec::new(),
            attempts,
            steps_done: StepsDone::NONE,
            next: Next::Over { state: State::Sent, code: ReasonCode::Delivered, note: String::new() },
        }
    }
}

fn record(number: u32, is_last: bool, at: Timestamp) -> AttemptRecord {
    AttemptRecord {
        number,
        step: 0,
        outcome: if is_last { Outcome::delivered() } else { Outcome::retry("the receiver answered 503") },
        code: Some(if is_last { 200 } else { 503 }),
        body: ANSWER.to_owned(),
        started_at: at,
        duration_ms: 3,
    }
}
