//! What notes come to that are found at a start: of the last process, and of those before it.

use std::sync::Mutex;

use domain::channel::{ChannelSettings, OnUnknown};
use domain::delivery::{Attempt, State};
use domain::event::NewEvent;
use domain::outcome::Class;
use domain::quotas::Quotas;
use domain::verdict::Verdicts;
use domain::{ReasonCode, Secret, StepsDone, TenantId};
use providers::Operator;
use store::directory::{NewChannel, NewTenant};
use store::journal::AttemptQuery;
use store::queue::{AcceptEvent, AcceptRequest, Arrival, NewDelivery, Next};
use store::sqlite::{Options, SqliteStore};
use store::{Directory as _, Journal as _, Queue as _, Vault};

use super::*;
use crate::settings::Settings;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// A database with one channel, and a delivery to it that waits.
struct Place {
    store: SqliteStore,
    registry: Registry,
    arrival: Arrival,
    _data_dir: tempfile::TempDir,
}

impl Place {
    async fn new(on_unknown: OnUnknown) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let heard: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let hear = Arc::clone(&heard);
        let feed = Box::new(move |arrivals| hear.lock().unwrap().extend(arrivals));
        let vault = Vault::new([7; 32], |buffer: &mut [u8]| buffer.fill(0));
        let store = SqliteStore::open(&Options::new(data_dir.path()), Arc::new(vault), feed).unwrap();
        let (name, quotas) = ("Acme".to_owned(), Quotas::default());
        let tenant = NewTenant { slug: "acme".to_owned(), name, email: None, providers: None, quotas };
        let tenant = store.put_tenant(tenant, NOW).await.unwrap().id;
        let config = Secret::new(r#"{"url": "https://example.com/"}"#);
        let settings =
            ChannelSettings { on_unknown, ..ChannelSettings::new("C".to_owned(), "webhook".to_owned(), config) };
        let new = NewChannel { tenant, settings, derives_shard: true, routes: Vec::new() };
        let channel = store.create_channel(new, NOW).await.unwrap().channel.id;
        store.accept(request(tenant, channel)).await.unwrap();
        let registry = Registry::new(store.load().await.unwrap(), Settings::default(), Operator::default()).unwrap();
        let arrival = heard.lock().unwrap().remove(0);
        Self { store, registry, arrival, _data_dir: data_dir }
    }

    /// A note of this try.
    fn note(&self, number: u32) -> Note {
        Note {
            delivery: self.arrival.delivery,
            channel: self.arrival.channel,
            number,
            step: 0,
            steps_done: StepsDone::NONE,
            started_at: NOW,
            provider: "webhook".into(),
        }
    }

    /// A start that finds these notes. Returns how many sends were under way.
    async fn start(&self, notes: &[Note]) -> usize {
        recover(&self.store, &self.registry, &Zeros, notes.to_vec(), NOW).await.unwrap()
    }

    /// The first try was answered, and the next one waits.
    async fn try_once(&self) {
        let Arrival { delivery, channel, event, created_at, expires_at, .. } = self.arrival.clone();
        let record = AttemptRecord {
            number: 1,
            step: 0,
            outcome: Outcome::retry("no"),
            code: Some(503),
            body: String::new(),
            started_at: NOW,
            duration_ms: 1,
        };
        let settlement = Settlement {
            delivery,
            channel,
            tenant: event.content.tenant,
            event: event.id,
            event_type: Arc::clone(&event.content.event_type),
            provider: "webhook".into(),
            created_at,
            expires_at,
            settled_at: NOW,
            tries_before: 0,
            digest: None,
            records: vec![record],
            inbox: Vec::new(),
            attempts: 1,
            steps_done: StepsDone::NONE,
            next: Next::Wait { due_at: NOW, note: "no".to_owned() },
        };
        self.store.settle([settlement].into()).await.unwrap();
    }

    /// The classes of its attempts, the first one first, and how it stands.
    async fn story(&self) -> (Vec<Class>, State) {
        let (tenant, delivery) = (self.arrival.event.content.tenant, self.arrival.delivery);
        let query = AttemptQuery { delivery: Some(delivery), ..AttemptQuery::newest(10) };
        let attempts = self.store.attempts(tenant, query).await.unwrap().rows;
        let class = |attempt: &Attempt| attempt.record.outcome.class;
        let state = self.store.delivery(tenant, delivery).await.unwrap().unwrap().state;
        (attempts.iter().rev().map(class).collect(), state)
    }
}

fn request(tenant: TenantId, channel: ChannelId) -> AcceptRequest {
    let content = NewEvent {
        tenant,
        event_type: "a".into(),
        data: "{}".into(),
        occurred_at: NOW,
        severity: None,
        explicit_channels: None,
        trace: None,
    };
    let event = AcceptEvent {
        content: Arc::new(content),
        deliveries: [NewDelivery { channel, expires_at: Timestamp::from_ms(NOW.as_ms() + 86_400_000) }].into(),
        verdicts: Verdicts::default(),
        key: None,
        attempts_max: None,
    };
    AcceptRequest { tenant, now: NOW, key: None, events: vec![event] }
}

#[tokio::test]
async fn a_send_under_way_becomes_an_unknown_attempt_once_however_often_a_start_is_cut_off() {
    let place = Place::new(OnUnknown::Retry).await;
    assert_eq!(place.start(&[place.note(1)]).await, 1);
    assert_eq!(place.story().await, (vec![Class::Unknown], State::Retrying));
    // Nobody clears the slot: the next start finds the note again.
    assert_eq!(place.start(&[place.note(1)]).await, 0);
    assert_eq!(place.story().await, (vec![Class::Unknown], State::Retrying));
}

#[tokio::test]
async fn where_nothing_is_sent_twice_it_is_a_dead_letter() {
    let place = Place::new(OnUnknown::GiveUp).await;
    assert_eq!(place.start(&[place.note(1)]).await, 1);
    assert_eq!(place.story().await, (vec![Class::Unknown], State::Dead));
    // A person has it tried again, and the process dies before it is: the old note still says nothing of the new try.
    let (tenant, delivery) = (place.arrival.event.content.tenant, place.arrival.delivery);
    place.store.retry(tenant, delivery, place.arrival.expires_at).await.unwrap();
    assert_eq!(place.start(&[place.note(1)]).await, 0);
    assert_eq!(place.story().await, (vec![Class::Unknown], State::Retrying));
}

#[tokio::test]
async fn a_note_of_an_earlier_process_says_nothing_of_a_later_try() {
    let place = Place::new(OnUnknown::GiveUp).await;
    place.try_once().await;
    // The first is settled, and the third cannot have begun.
    assert_eq!(place.start(&[place.note(1), place.note(3)]).await, 0);
    assert_eq!(place.story().await, (vec![Class::Retry], State::Retrying));
    // A slot of an earlier process beside the one that the last process used for the same delivery.
    assert_eq!(place.start(&[place.note(1), place.note(2)]).await, 1);
    assert_eq!(place.story().await, (vec![Class::Retry, Class::Unknown], State::Dead));
}

#[tokio::test]
async fn a_note_of_something_else_is_none() {
    let place = Place::new(OnUnknown::Retry).await;
    let nobody = Note { delivery: DeliveryId(place.arrival.delivery.0 + 1), ..place.note(1) };
    let elsewhere = Note { channel: ChannelId(place.arrival.channel.0 + 1), ..place.note(1) };
    assert_eq!(place.start(&[nobody, elsewhere]).await, 0);
    assert_eq!(place.story().await, (vec![], State::Pending));
}

#[tokio::test]
async fn what_is_ordered_cancelled_is_not_tried_again() {
    let place = Place::new(OnUnknown::Retry).await;
    let tenant = place.arrival.event.content.tenant;
    place.store.delete_channel(tenant, place.arrival.channel, NOW).await.unwrap();
    assert_eq!(place.start(&[place.note(1)]).await, 1);
    let (classes, state) = place.story().await;
    assert_eq!((classes, state), (vec![Class::Unknown], State::Cancelled));
    let shown = place.store.delivery(tenant, place.arrival.delivery).await.unwrap().unwrap();
    assert_eq!(shown.code, ReasonCode::ChannelDeleted);
}
