//! Reason codes that a black box cannot hold still: what an event meant for very many channels comes to. The others are
//! provoked in `server/tests/it/reasons`.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use domain::{ChannelId, Clock, EventId, ReasonCode, TenantId, Timestamp};
use engine::accept::EventIn;
use engine::dispatch::run::{self, Inbox};
use engine::ops::{ChannelEdit, NewChannel, TenantEdit};
use engine::random::Entropy;
use engine::registry::Registry;
use engine::{Engine, Settings};
use providers::Operator;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::queue::EVENT_DELIVERIES_MAX;
use store::sqlite::{Options, SqliteStore};
use store::{Directory as _, Vault};
use tempfile::TempDir;

/// More channels than are written, or explained, for one event at once.
const MANY: usize = EVENT_DELIVERIES_MAX + 1;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_800_000_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// An engine whose dispatcher does nothing.
struct World {
    store: Arc<SqliteStore>,
    engine: Engine,
    tenant: TenantId,
    _inbox: Inbox,
    _data_dir: TempDir,
}

impl World {
    fn new() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let vault = Vault::new([7; 32], |bytes: &mut [u8]| bytes.fill(7));
        let options = Options::new(data_dir.path());
        let store = Arc::new(SqliteStore::open_stepped(&options, Arc::new(vault), Box::new(|_| {})).unwrap());
        let snapshot = drive(&store, store.load()).unwrap();
        let registry = Arc::new(Registry::new(snapshot, Settings::default(), Operator::default()).unwrap());
        let (handle, inbox) = run::channel();
        let engine = Engine::new(Arc::clone(&store) as _, registry, handle, Arc::new(Still), Arc::new(Still));
        let tenant = drive(&store, engine.put_tenant("acme", TenantEdit::named("Acme"))).unwrap().id;
        Self { store, engine, tenant, _inbox: inbox, _data_dir: data_dir }
    }

    /// Makes [`MANY`] channels with this filter. Gives the last.
    fn many_channels(&self, filter: Option<&str>) -> ChannelId {
        let mut last = ChannelId(0);
        for _ in 0..MANY {
            let Value::Object(config) = json!({"url": "https://receiver.example.com/"}) else { unreachable!() };
            let edit = ChannelEdit { filter: Some(filter.map(ToOwned::to_owned)), ..ChannelEdit::default() };
            let (name, provider) = ("One of many".to_owned(), "webhook".to_owned());
            let new = NewChannel { name, provider, config, edit, dialect: None, is_managed: false };
            last = drive(&self.store, self.engine.create_channel(self.tenant, new)).unwrap().live.channel.id;
        }
        last
    }

    fn post(&self) -> EventId {
        let event = EventIn {
            tenant: self.tenant,
            event_type: "a".to_owned(),
            data: RawValue::from_string("{}".to_owned()).unwrap(),
            occurred_at: None,
            severity: None,
            channels: None,
            idempotency_key: None,
            trace: None,
        };
        let accepted = drive(&self.store, self.engine.accept_events(self.tenant, vec![event], false, None));
        accepted.unwrap().remove(0).event.id
    }

    fn code(&self, event: EventId, channel: ChannelId) -> ReasonCode {
        drive(&self.store, self.engine.explain(self.tenant, event, channel)).unwrap().reason_code()
    }
}

/// Runs a future to its end, writing as soon as something waits.
fn drive<T>(store: &SqliteStore, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        store.run_writes(None);
    }
}

#[test]
fn expanding() {
    let world = World::new();
    let last = world.many_channels(None);
    let event = world.post();
    assert_eq!(world.code(event, last), ReasonCode::Expanding);
}

#[test]
fn reason_not_kept() {
    let world = World::new();
    let last = world.many_channels(Some("false"));
    let event = world.post();
    assert_eq!(world.code(event, last), ReasonCode::ReasonNotKept);
}
