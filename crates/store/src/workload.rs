//! A workload that calls every method of a store, some in several ways, so that a backend's tests can look at how each
//! of its statements finds its rows.

use std::collections::BTreeSet;

use domain::breaker::Trip;
use domain::delivery::State;
use domain::event_type::EventType;
use domain::quotas::Quotas;
use domain::redrive::{Progress, Source, Wanted};
use domain::routing::{ConfigVersion, Pattern};
use domain::{ChannelId, DeliveryId, EventId, ReasonCode, Secret};

use crate::Store;
use crate::conformance::digests::digest_of;
use crate::conformance::fixtures::{
    DAY_MS, EXPIRES_AT, NOW, TENANT, dead, event, key, later, request, retrying, routes, sent, settings, untried,
};
use crate::directory::{ChannelChange, ConfigChange, DialectSettings, NewChannel, NewTenant, SteeringChange};
use crate::inbox::InboxQuery;
use crate::journal::{AttemptPageQuery, AttemptQuery, DeliveryQuery, EventQuery, Span, StateFilter, StatsQuery, Text};
use crate::queue::{AcceptEvent, AcceptRequest, Arrival, HeldBounds, Settlement};
use crate::redrives::{DeadLook, EventLook, NewRedrive, RedriveSlice, Steer, Take};
use crate::retention::KeptSince;

/// A store, and what it has announced since it was asked last.
pub(crate) struct Workload<'s> {
    pub store: &'s dyn Store,
    pub heard: &'s dyn Fn() -> Vec<Arrival>,
}

impl Workload<'_> {
    /// Makes the tenant and the channel that everything else is about.
    pub(crate) async fn begin(&self) -> ChannelId {
        let tenant = NewTenant {
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            email: None,
            providers: None,
            quotas: Quotas::default(),
        };
        self.store.put_tenant(tenant, NOW).await.expect("done");
        let new = NewChannel { tenant: TENANT, settings: settings(), derives_shard: true, routes: routes(&["*"]) };
        self.store.create_channel(new, NOW).await.expect("done").channel.id
    }

    /// Calls every method, some in several ways.
    pub(crate) async fn run(&self, channel: ChannelId) {
        let store = self.store;
        let wide: Vec<_> = (100..1102).collect();
        let keyed = AcceptEvent { key: Some(key(1, 1)), ..event(TENANT, &[channel.0]) };
        for request in [
            request(TENANT, vec![keyed, event(TENANT, &wide)]),
            AcceptRequest { now: later(DAY_MS), key: Some(key(2, 2)), ..request(TENANT, vec![event(TENANT, &[1])]) },
        ] {
            store.accept(request).await.expect("done");
        }
        while store.expand(1).await.expect("done") {}
        let ends = [
            sent,
            dead,
            |arrival: &Arrival| untried(arrival, State::Cancelled),
            |arrival: &Arrival| retrying(arrival, NOW),
        ];
        let heard = (self.heard)();
        let settlements = heard.iter().take(40).zip(ends.iter().cycle()).map(|(arrival, end)| end(arrival)).collect();
        store.settle(settlements).await.expect("done");
        for arrival in &heard[1..4] {
            store.retry(TENANT, arrival.delivery, EXPIRES_AT).await.expect("done");
        }
        store.waiting_channels().await.expect("done");
        store.waiting_after(channel, DeliveryId(0), NOW, 10).await.expect("done");
        store.waiting_these(channel, vec![heard[0].delivery], NOW).await.expect("done");
        self.digests().await;
        let change = ChannelChange {
            tenant: TENANT,
            channel,
            settings: settings(),
            routes: Some(routes(&["a"])),
            resumes: true,
            cancels: Some("off".to_owned()),
        };
        store.update_channel(change, NOW).await.expect("done");
        let (before, after) = (settings().config, Secret::new("{}"));
        let change = ConfigChange { tenant: TENANT, channel, before, after };
        assert!(store.replace_config(change, NOW).await.expect("done"));
        let route = routes(&["b"]).remove(0);
        let added = store.add_subscription(TENANT, channel, route).await.expect("done").expect("there");
        store.end_subscription(TENANT, added.subscriptions[0].id).await.expect("done");
        let (name, label, description) = ("a".to_owned(), "A".to_owned(), String::new());
        let described = EventType { name: name.clone(), label, description, groups: Vec::new() };
        store.put_event_type(TENANT, described, NOW).await.expect("done");
        store.delete_event_type(TENANT, name).await.expect("done");
        let set = DialectSettings { tenant: TENANT, dialect: "d".to_owned(), settings: Secret::new("{}") };
        let steering = SteeringChange { settings: set, makes: vec![], changes: vec![], deletes: vec![] };
        store.put_dialect_settings(steering, NOW).await.expect("done");
        store.cancellations().await.expect("done");
        self.redrive(channel).await;
        self.purge().await;
        store.cancel_slice(channel, vec![], NOW, 10).await.expect("done");
        store.expire_slice(ChannelId(101), vec![], EXPIRES_AT, 10).await.expect("done");
        let bounds = HeldBounds { count_max: 1, kept_since: Some(NOW) };
        store.trim_slice(ChannelId(102), vec![], bounds, NOW, 10).await.expect("done");
        let trip = Trip { code: ReasonCode::NotReached, reason: "x".to_owned(), since: NOW, probe_at: NOW };
        store.trip_channel(channel, Some(trip)).await.expect("done");
        store.tripped_channels().await.expect("done");
        store.waiting_before(channel, DeliveryId(9), NOW, 10).await.expect("done");
        self.read(channel, &heard[0]).await;
        self.retain().await;
    }

    /// Orders of both kinds, carried out a slice at a time.
    async fn redrive(&self, channel: ChannelId) {
        let store = self.store;
        for source in Source::ALL {
            let new = NewRedrive { source, wanted: Wanted::default(), pace: 10 };
            let begun = store.begin_redrive(TENANT, new, NOW).await.expect("done").expect("there");
            let slice = |take, reached| RedriveSlice {
                redrive: begun.id,
                after: 0,
                reached,
                is_end: false,
                examined: 1,
                skipped: 0,
                take,
            };
            let taken = match source {
                Source::Dead => {
                    let mut look =
                        DeadLook { channel: None, after: DeliveryId(0), up_to: DeliveryId(900), rows_max: 2 };
                    let found = store.dead_after(TENANT, look.clone()).await.expect("done");
                    look.channel = Some(channel);
                    store.dead_after(TENANT, look).await.expect("done");
                    let taken = found.rows.iter().map(|letter| (letter.delivery.id, EXPIRES_AT)).collect();
                    slice(Take::Dead(taken), found.reached)
                }
                Source::History => {
                    let look = EventLook {
                        channel: ChannelId(7000),
                        event_types: None,
                        accepted: Span { since: Some(NOW), until: None },
                        text: None,
                        after: EventId(0),
                        up_to: EventId(900),
                        rows_max: 2,
                        examined_max: 100,
                    };
                    let found = store.events_after(TENANT, look).await.expect("done");
                    let events = found.rows.iter().map(|past| past.event.id).collect();
                    let channel = ChannelId(7000);
                    slice(Take::Events { channel, expires_at: EXPIRES_AT, delivered: None, events }, found.reached)
                }
            };
            store.redrive_slice(TENANT, taken, NOW).await.expect("done");
            store.running_redrives().await.expect("done");
            store.redrives(TENANT, None, 10).await.expect("done");
            let steer = Steer { to: Progress::Cancelled, note: String::new(), now: NOW };
            store.steer_redrive(TENANT, begun.id, steer).await.expect("done");
            store.redrive(TENANT, begun.id).await.expect("done");
        }
        (self.heard)();
    }

    /// A few slices of retention, so that enough is left to be read.
    async fn retain(&self) {
        let long_ago = Some(later(-DAY_MS));
        let kept = KeptSince {
            events: long_ago,
            deliveries: long_ago,
            attempts: long_ago,
            inbox: long_ago,
            inbox_entries_max: Some(1),
            sums: long_ago,
        };
        for kept in [kept, KeptSince { attempts: Some(later(2)), events: Some(later(2)), ..kept }] {
            for _ in 0..30 {
                self.store.retain_slice(kept).await.expect("done");
            }
        }
        self.store.kept_from().await.expect("done");
    }

    /// A digest is sealed, dies, is retried and expires.
    async fn digests(&self) {
        let store = self.store;
        let channel = ChannelId(8000);
        let events = vec![event(TENANT, &[channel.0]), event(TENANT, &[channel.0])];
        store.accept(request(TENANT, events)).await.expect("done");
        let heard = (self.heard)();
        let digest = store.seal_digest(digest_of(&heard)).await.expect("done");
        store.waiting_these(channel, vec![heard[0].delivery], NOW).await.expect("done");
        let settlements = heard.iter().map(|arrival| Settlement { digest, ..dead(arrival) }).collect();
        store.settle(settlements).await.expect("done");
        for _ in 0..2 {
            store.retry(TENANT, heard[1].delivery, EXPIRES_AT).await.expect("done");
        }
        store.expire_slice(channel, vec![], EXPIRES_AT, 10).await.expect("done");
    }

    /// A tenant comes and goes.
    async fn purge(&self) {
        let store = self.store;
        let new = NewTenant {
            slug: "gone".to_owned(),
            name: "Gone".to_owned(),
            email: None,
            providers: None,
            quotas: Quotas::default(),
        };
        let tenant = store.put_tenant(new, NOW).await.expect("done").id;
        store.suspend_tenant(tenant, NOW).await.expect("done");
        store.resume_tenant(tenant).await.expect("done");
        store.accept(request(tenant, vec![event(tenant, &[9000])])).await.expect("done");
        let settlements = (self.heard)().iter().map(sent).collect();
        store.settle(settlements).await.expect("done");
        store.delete_tenant(tenant, NOW).await.expect("done");
        assert!(store.has_purge().await.expect("done"));
        while store.purge_slice(10).await.expect("done") {}
    }

    async fn read(&self, channel: ChannelId, arrival: &Arrival) {
        let store = self.store;
        store.load().await.expect("done");
        store.event(TENANT, arrival.event.id).await.expect("done");
        store.deliveries_of(TENANT, arrival.event.id, DeliveryId(0), 10).await.expect("done");
        store.delivery(TENANT, arrival.delivery).await.expect("done");
        store.totals().await.expect("done");
        store.stats_by_channel(TENANT, NOW).await.expect("done");
        store.subscriptions_at(TENANT, channel, ConfigVersion(1)).await.expect("done");
        store.lifetime(TENANT, channel).await.expect("done");
        store.delivery_to(TENANT, arrival.event.id, channel).await.expect("done");
        let patterns = ["a.*", "*", "a.b"].map(|text| Some(Pattern::parse(text).expect("a pattern")));
        for event_types in patterns.into_iter().chain([None]) {
            for channel in [None, Some(channel)] {
                let query = StatsQuery { since: NOW, channel, event_types: event_types.clone() };
                store.stats(TENANT, query).await.expect("done");
            }
        }
        self.lists(channel, arrival).await;
        self.inboxes(arrival).await;
    }

    async fn inboxes(&self, arrival: &Arrival) {
        let store = self.store;
        for recipient in [None, Some("ada".to_owned())] {
            for is_unread_only in [false, true] {
                let query = InboxQuery { recipient: recipient.clone(), is_unread_only, before: None, rows_max: 50 };
                store.inbox(TENANT, query).await.expect("done");
            }
            store.unread(TENANT, recipient.clone()).await.expect("done");
            store.mark_slice(TENANT, recipient, arrival.delivery, NOW, 10).await.expect("done");
        }
        store.mark(TENANT, arrival.delivery, Some(NOW)).await.expect("done");
    }

    async fn lists(&self, channel: ChannelId, arrival: &Arrival) {
        let store = self.store;
        for text in [None, Text::new("x")] {
            let query = EventQuery { event_types: Pattern::parse("a.*").ok(), text, ..EventQuery::newest(50) };
            store.events(TENANT, query).await.expect("done");
        }
        for channel in [None, Some(channel)] {
            let query = AttemptPageQuery {
                channel,
                except: BTreeSet::from([ChannelId(9)]),
                providers: BTreeSet::from(["webhook".to_owned()]),
                event_type: Some("invoice.paid".to_owned()),
                result: None,
                skip: 1,
                rows_max: 5,
                examined_max: 1000,
            };
            let page = store.attempts_page(TENANT, query).await.expect("done");
            assert!(channel.is_some() || !page.rows.is_empty(), "whole rows are read");
            for state in [
                None,
                Some(StateFilter::Pending),
                Some(StateFilter::Retrying),
                Some(StateFilter::Waiting),
                Some(StateFilter::Dead),
                Some(StateFilter::Settled(State::Sent)),
                Some(StateFilter::Settled(State::Expired)),
            ] {
                for event in [None, Some(arrival.event.id)] {
                    let before = Some(DeliveryId(900));
                    let query = DeliveryQuery { channel, state, event, before, ..DeliveryQuery::newest(50) };
                    store.deliveries(TENANT, query).await.expect("done");
                }
            }
            for delivery in [None, Some(arrival.delivery)] {
                for event in [None, Some(arrival.event.id)] {
                    let query = AttemptQuery { delivery, channel, event, ..AttemptQuery::newest(50) };
                    store.attempts(TENANT, query).await.expect("done");
                }
            }
        }
    }
}
