//! What the cases share: an open store with the arrivals that it announced, and short ways to say events,
//! settlements and channels.
//!
//! Queue and journal know channels by number only, so cases use numbers that no directory holds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::channel::ChannelSettings;
use domain::delivery::{AttemptRecord, Delivery, State};
use domain::event::NewEvent;
use domain::outcome::Outcome;
use domain::quotas::Quotas;
use domain::routing::Pattern;
use domain::verdict::Verdicts;
use domain::{ChannelId, DeliveryId, ReasonCode, Secret, StepsDone, TenantId, Timestamp};

use super::Factory;
use crate::directory::{ChannelWithRoutes, NewChannel, NewRoute, NewTenant};
use crate::journal::{DeliveryQuery, StateFilter};
use crate::queue::{
    AcceptAnswer, AcceptEvent, AcceptRequest, AcceptedEvent, Arrival, IdempotencyKey, NewDelivery, Next, Settlement,
};
use crate::{Directory as _, Journal as _, Queue as _};

/// When cases take place: 2025-10-09, at the beginning of a UTC day.
pub const NOW: Timestamp = Timestamp::from_ms(20_370 * DAY_MS);
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub const TENANT: TenantId = TenantId(1);
pub const OTHER_TENANT: TenantId = TenantId(2);

/// When deliveries of cases expire, unless they say otherwise.
pub const EXPIRES_AT: Timestamp = later(DAY_MS);

/// So much after [`NOW`].
pub const fn later(ms: i64) -> Timestamp {
    Timestamp::from_ms(20_370 * DAY_MS + ms)
}

/// An open store and what it announced.
pub struct World<'f, F: Factory> {
    factory: &'f F,
    /// `None` only between dropping and opening again.
    store: Option<F::Store>,
    heard: Arc<Mutex<Vec<Arrival>>>,
}

impl<'f, F: Factory> World<'f, F> {
    pub async fn open(factory: &'f F) -> Self {
        let mut world = Self { factory, store: None, heard: Arc::default() };
        world.reopen().await;
        world
    }

    /// Drops the store and opens its database again.
    pub async fn reopen(&mut self) {
        drop(self.store.take());
        let heard = Arc::clone(&self.heard);
        let hear = move |arrivals| heard.lock().unwrap_or_else(PoisonError::into_inner).extend(arrivals);
        self.store = Some(self.factory.open(Box::new(hear)).await);
    }

    pub fn store(&self) -> &F::Store {
        self.store.as_ref().expect("open")
    }

    /// What was announced since the last call.
    pub fn heard(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps one event for these channels.
    pub async fn post(&self, tenant: TenantId, channels: &[i64]) -> AcceptedEvent {
        let mut events = self.accept(request(tenant, vec![event(tenant, channels)])).await;
        assert_eq!(events.len(), 1);
        events.remove(0)
    }

    /// Keeps one event for each of `count` deliveries to a channel, and gives these.
    pub async fn post_each(&self, tenant: TenantId, channel: i64, count: usize) -> Vec<Arrival> {
        self.heard();
        let events = (0..count).map(|_| event(tenant, &[channel])).collect();
        self.accept(request(tenant, events)).await;
        self.heard()
    }

    /// Keeps a request that must be kept.
    pub async fn accept(&self, request: AcceptRequest) -> Vec<AcceptedEvent> {
        match self.store().accept(request).await.expect("accepted") {
            AcceptAnswer::Kept(events) => events,
            AcceptAnswer::KeyReused(position) => panic!("the key is reused: {position:?}"),
        }
    }

    pub async fn settle(&self, settlement: Settlement) {
        self.store().settle([settlement].into()).await.expect("settled");
    }

    /// How a delivery of [`TENANT`] stands.
    pub async fn delivery(&self, delivery: DeliveryId) -> Delivery {
        self.store().delivery(TENANT, delivery).await.expect("read").expect("there")
    }

    /// The ids of what waits for a channel, all that is due or not.
    pub async fn waiting(&self, channel: i64) -> Vec<DeliveryId> {
        let waiting = self.store().waiting_after(ChannelId(channel), DeliveryId(0), NOW, 10_000).await.expect("read");
        waiting.iter().map(|one| one.delivery).collect()
    }

    /// Deliveries of [`TENANT`] in a state, or all, read in pages of `page`.
    pub async fn list(&self, channel: Option<i64>, state: Option<StateFilter>, page: usize) -> Vec<Delivery> {
        let channel = channel.map(ChannelId);
        self.list_all(DeliveryQuery { channel, state, ..DeliveryQuery::newest(page) }).await
    }

    /// All that a query lists for [`TENANT`], page by page.
    pub async fn list_all(&self, query: DeliveryQuery) -> Vec<Delivery> {
        let mut all: Vec<Delivery> = Vec::new();
        let mut before = query.before;
        loop {
            let page = DeliveryQuery { before, ..query.clone() };
            let page = self.store().deliveries(TENANT, page).await.expect("read");
            assert!(page.rows.len() <= query.rows_max);
            all.extend(page.rows);
            let Some(next) = page.next else { return all };
            assert!(before.is_none_or(|before| next < before), "no way forward from {before:?}");
            before = Some(next);
        }
    }

    /// A channel of [`TENANT`] that the directory knows.
    pub async fn own_channel(&self) -> ChannelId {
        let new = NewTenant {
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            email: None,
            providers: None,
            quotas: Quotas::default(),
        };
        let tenant = self.store().put_tenant(new, NOW).await.expect("made");
        assert_eq!(tenant.id, TENANT);
        self.create_channel(TENANT, &["*"]).await.channel.id
    }

    pub async fn create_channel(&self, tenant: TenantId, patterns: &[&str]) -> ChannelWithRoutes {
        let new = NewChannel { tenant, settings: settings(), derives_shard: true, routes: routes(patterns) };
        self.store().create_channel(new, NOW).await.expect("created")
    }
}

pub fn content(tenant: TenantId) -> NewEvent {
    NewEvent {
        tenant,
        event_type: "invoice.paid".into(),
        data: "{\"amount\":100}".into(),
        occurred_at: later(-5),
        severity: None,
        explicit_channels: None,
        trace: None,
    }
}

/// An event for these channels, in ascending order.
pub fn event(tenant: TenantId, channels: &[i64]) -> AcceptEvent {
    let delivery = |channel: &i64| NewDelivery { channel: ChannelId(*channel), expires_at: EXPIRES_AT };
    AcceptEvent {
        content: Arc::new(content(tenant)),
        deliveries: channels.iter().map(delivery).collect(),
        verdicts: Verdicts::default(),
        key: None,
        attempts_max: None,
    }
}

pub fn request(tenant: TenantId, events: Vec<AcceptEvent>) -> AcceptRequest {
    AcceptRequest { tenant, now: NOW, key: None, events }
}

pub fn key(key: u8, body: u8) -> IdempotencyKey {
    IdempotencyKey { key_hash: [key; 32], body_hash: [body; 32] }
}

/// What became of the first try of a delivery.
pub fn settlement(arrival: &Arrival, outcome: Outcome, next: Next) -> Settlement {
    Settlement {
        delivery: arrival.delivery,
        channel: arrival.channel,
        tenant: arrival.event.content.tenant,
        event: arrival.event.id,
        event_type: Arc::clone(&arrival.event.content.event_type),
        provider: "webhook".into(),
        created_at: arrival.created_at,
        expires_at: arrival.expires_at,
        settled_at: later(1000),
        tries_before: 0,
        digest: None,
        records: vec![record(1, outcome)],
        inbox: Vec::new(),
        attempts: 1,
        steps_done: StepsDone::NONE,
        next,
    }
}

pub fn record(number: u32, outcome: Outcome) -> AttemptRecord {
    AttemptRecord { number, step: 0, outcome, code: Some(200), body: "ok".to_owned(), started_at: NOW, duration_ms: 7 }
}

pub fn over(state: State) -> Next {
    let code = if state == State::Sent { ReasonCode::Delivered } else { ReasonCode::AttemptsUsedUp };
    Next::Over { state, code, note: format!("it is {state}") }
}

pub fn wait(due_at: Timestamp) -> Next {
    Next::Wait { due_at, note: "try later".to_owned() }
}

pub fn sent(arrival: &Arrival) -> Settlement {
    settlement(arrival, Outcome::delivered(), over(State::Sent))
}

pub fn dead(arrival: &Arrival) -> Settlement {
    settlement(arrival, Outcome::retry("connection refused"), over(State::Dead))
}

pub fn retrying(arrival: &Arrival, due_at: Timestamp) -> Settlement {
    settlement(arrival, Outcome::retry("connection refused"), wait(due_at))
}

/// It settled at its turn, without a try.
pub fn untried(arrival: &Arrival, state: State) -> Settlement {
    Settlement { records: Vec::new(), attempts: 0, ..settlement(arrival, Outcome::delivered(), over(state)) }
}

pub fn settings() -> ChannelSettings {
    let config = Secret::new("{\"url\":\"https://example.com\"}");
    ChannelSettings::new("Accounting".to_owned(), "webhook".to_owned(), config)
}

pub fn routes(patterns: &[&str]) -> Vec<NewRoute> {
    let route = |pattern: &&str| NewRoute { pattern: Pattern::parse(pattern).expect("a pattern"), filter: None };
    patterns.iter().map(route).collect()
}

/// A time-to-live that ends at [`EXPIRES_AT`].
pub const TIME_TO_LIVE: Duration = Duration::from_hours(24);
