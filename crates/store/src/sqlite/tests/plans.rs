//! Query plans: every statement that the store runs on a growing table finds its rows by a key or an index.
//!
//! Nothing here lists statements by hand: a workload calls every method, the statements that ran are noted, and each
//! is explained.

use std::cell::RefCell;
use std::collections::BTreeSet;

use domain::breaker::Trip;
use domain::delivery::State;
use domain::event_type::EventType;
use domain::redrive::{Progress, Source, Wanted};
use domain::routing::{ConfigVersion, Pattern};
use domain::{ChannelId, DeliveryId, EventId, ReasonCode, Secret};
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::{OneDirectory, Stepped};
use crate::conformance::digests::digest_of;
use crate::conformance::fixtures::{
    DAY_MS, EXPIRES_AT, NOW, TENANT, dead, event, key, later, request, retrying, routes, sent, settings, untried,
};
use crate::directory::{ChannelChange, ConfigChange, DialectSettings, NewChannel, NewTenant, SteeringChange};
use crate::inbox::{Inbox as _, InboxQuery};
use crate::journal::{AttemptPageQuery, AttemptQuery, DeliveryQuery, EventQuery, Span, StateFilter, StatsQuery, Text};
use crate::queue::{AcceptEvent, AcceptRequest, Arrival, HeldBounds, Settlement};
use crate::redrives::{DeadLook, EventLook, NewRedrive, RedriveSlice, Redrives as _, Steer, Take};
use crate::retention::{KeptSince, Retention as _};
use crate::sqlite::writer::Writer;
use crate::{Directory as _, Journal as _, Queue as _};

thread_local! {
    static RAN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

#[expect(clippy::needless_pass_by_value, reason = "this is the shape that `trace_v2` takes")]
fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(_, sql) = event {
        RAN.with_borrow_mut(|ran| ran.insert(sql.to_owned()));
    }
}

/// Tables that stay small, or that are read whole at a start and never otherwise.
const SMALL: [&str; 11] = [
    "waiting",
    "tenants",
    "api_keys",
    "channels",
    "event_types",
    "dialect_settings",
    "sequences",
    "expand",
    "cancellations",
    "sqlite_master",
    "CONSTANT",
];

fn listen(connection: &mut Connection) {
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
}

/// Calls every method, some in several ways.
fn work(stepped: &Stepped, channel: ChannelId) {
    let store = &stepped.store;
    let wide: Vec<_> = (100..1102).collect();
    let keyed = AcceptEvent { key: Some(key(1, 1)), ..event(TENANT, &[channel.0]) };
    for request in [
        request(TENANT, vec![keyed, event(TENANT, &wide)]),
        AcceptRequest { now: later(DAY_MS), key: Some(key(2, 2)), ..request(TENANT, vec![event(TENANT, &[1])]) },
    ] {
        stepped.run(store.accept(request)).unwrap();
    }
    while stepped.run(store.expand(1)).unwrap() {}
    let ends = [
        sent,
        dead,
        |arrival: &Arrival| untried(arrival, State::Cancelled),
        |arrival: &Arrival| retrying(arrival, NOW),
    ];
    let heard = stepped.heard();
    let settlements = heard.iter().take(40).zip(ends.iter().cycle()).map(|(arrival, end)| end(arrival)).collect();
    stepped.run(store.settle(settlements)).unwrap();
    for arrival in &heard[1..4] {
        stepped.run(store.retry(TENANT, arrival.delivery, EXPIRES_AT)).unwrap();
    }
    stepped.run(store.waiting_channels()).unwrap();
    stepped.run(store.waiting_after(channel, DeliveryId(0), NOW, 10)).unwrap();
    stepped.run(store.waiting_these(channel, vec![heard[0].delivery], NOW)).unwrap();
    digests(stepped);
    let change = ChannelChange {
        tenant: TENANT,
        channel,
        settings: settings(),
        routes: Some(routes(&["a"])),
        resumes: true,
        cancels: Some("off".to_owned()),
    };
    stepped.run(store.update_channel(change, NOW)).unwrap();
    let (before, after) = (settings().config, Secret::new("{}"));
    let change = ConfigChange { tenant: TENANT, channel, before, after };
    assert!(stepped.run(store.replace_config(change, NOW)).unwrap());
    let route = routes(&["b"]).remove(0);
    let added = stepped.run(store.add_subscription(TENANT, channel, route)).unwrap().unwrap();
    stepped.run(store.end_subscription(TENANT, added.subscriptions[0].id)).unwrap();
    let (name, label, description) = ("a".to_owned(), "A".to_owned(), String::new());
    let described = EventType { name: name.clone(), label, description, groups: Vec::new() };
    stepped.run(store.put_event_type(TENANT, described, NOW)).unwrap();
    stepped.run(store.delete_event_type(TENANT, name)).unwrap();
    let set = DialectSettings { tenant: TENANT, dialect: "d".to_owned(), settings: Secret::new("{}") };
    let steering = SteeringChange { settings: set, makes: vec![], changes: vec![], deletes: vec![] };
    stepped.run(store.put_dialect_settings(steering, NOW)).unwrap();
    stepped.run(store.cancellations()).unwrap();
    redrive(stepped, channel);
    purge(stepped);
    stepped.run(store.cancel_slice(channel, vec![], NOW, 10)).unwrap();
    stepped.run(store.expire_slice(ChannelId(101), vec![], EXPIRES_AT, 10)).unwrap();
    let bounds = HeldBounds { count_max: 1, kept_since: Some(NOW) };
    stepped.run(store.trim_slice(ChannelId(102), vec![], bounds, NOW, 10)).unwrap();
    let trip = Trip { code: ReasonCode::NotReached, reason: "x".to_owned(), since: NOW, probe_at: NOW };
    stepped.run(store.trip_channel(channel, Some(trip))).unwrap();
    stepped.run(store.tripped_channels()).unwrap();
    stepped.run(store.waiting_before(channel, DeliveryId(9), NOW, 10)).unwrap();
    read(stepped, channel, &heard[0]);
    retain(stepped);
}

/// Orders of both kinds, carried out a slice at a time.
fn redrive(stepped: &Stepped, channel: ChannelId) {
    let store = &stepped.store;
    for source in Source::ALL {
        let new = NewRedrive { source, wanted: Wanted::default(), pace: 10 };
        let begun = stepped.run(store.begin_redrive(TENANT, new, NOW)).unwrap().unwrap();
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
                let mut look = DeadLook { channel: None, after: DeliveryId(0), up_to: DeliveryId(900), rows_max: 2 };
                let found = stepped.run(store.dead_after(TENANT, look.clone())).unwrap();
                look.channel = Some(channel);
                stepped.run(store.dead_after(TENANT, look)).unwrap();
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
                let found = stepped.run(store.events_after(TENANT, look)).unwrap();
                let events = found.rows.iter().map(|past| past.event.id).collect();
                let channel = ChannelId(7000);
                slice(Take::Events { channel, expires_at: EXPIRES_AT, delivered: None, events }, found.reached)
            }
        };
        stepped.run(store.redrive_slice(TENANT, taken, NOW)).unwrap();
        stepped.run(store.running_redrives()).unwrap();
        stepped.run(store.redrives(TENANT, None, 10)).unwrap();
        let steer = Steer { to: Progress::Cancelled, note: String::new(), now: NOW };
        stepped.run(store.steer_redrive(TENANT, begun.id, steer)).unwrap();
        stepped.run(store.redrive(TENANT, begun.id)).unwrap();
    }
    stepped.heard();
}

/// A few slices of retention, so that enough is left to be read.
fn retain(stepped: &Stepped) {
    let long_ago = Some(later(-DAY_MS));
    let kept =
        KeptSince { events: long_ago, deliveries: long_ago, attempts: long_ago, inbox: long_ago, sums: long_ago };
    for kept in [kept, KeptSince { attempts: Some(later(2)), events: Some(later(2)), ..kept }] {
        for _ in 0..30 {
            stepped.run(stepped.store.retain_slice(kept)).unwrap();
        }
    }
    stepped.run(stepped.store.kept_from()).unwrap();
}

/// A digest is sealed, dies, is retried and expires.
fn digests(stepped: &Stepped) {
    let store = &stepped.store;
    let channel = ChannelId(8000);
    let events = vec![event(TENANT, &[channel.0]), event(TENANT, &[channel.0])];
    stepped.run(store.accept(request(TENANT, events))).unwrap();
    let heard = stepped.heard();
    let digest = stepped.run(store.seal_digest(digest_of(&heard))).unwrap();
    stepped.run(store.waiting_these(channel, vec![heard[0].delivery], NOW)).unwrap();
    let settlements = heard.iter().map(|arrival| Settlement { digest, ..dead(arrival) }).collect();
    stepped.run(store.settle(settlements)).unwrap();
    for _ in 0..2 {
        stepped.run(store.retry(TENANT, heard[1].delivery, EXPIRES_AT)).unwrap();
    }
    stepped.run(store.expire_slice(channel, vec![], EXPIRES_AT, 10)).unwrap();
}

/// A tenant comes and goes.
fn purge(stepped: &Stepped) {
    let store = &stepped.store;
    let new = NewTenant { slug: "gone".to_owned(), name: "Gone".to_owned(), email: None, providers: None };
    let tenant = stepped.run(store.put_tenant(new, NOW)).unwrap().id;
    stepped.run(store.suspend_tenant(tenant, NOW)).unwrap();
    stepped.run(store.resume_tenant(tenant)).unwrap();
    stepped.run(store.accept(request(tenant, vec![event(tenant, &[9000])]))).unwrap();
    let settlements = stepped.heard().iter().map(sent).collect();
    stepped.run(store.settle(settlements)).unwrap();
    stepped.run(store.delete_tenant(tenant, NOW)).unwrap();
    assert!(stepped.run(store.has_purge()).unwrap());
    while stepped.run(store.purge_slice(10)).unwrap() {}
}

fn read(stepped: &Stepped, channel: ChannelId, arrival: &Arrival) {
    let store = &stepped.store;
    stepped.run(store.load()).unwrap();
    stepped.run(store.event(TENANT, arrival.event.id)).unwrap();
    stepped.run(store.deliveries_of(TENANT, arrival.event.id, DeliveryId(0), 10)).unwrap();
    stepped.run(store.delivery(TENANT, arrival.delivery)).unwrap();
    stepped.run(store.totals()).unwrap();
    stepped.run(store.stats_by_channel(TENANT, NOW)).unwrap();
    stepped.run(store.subscriptions_at(TENANT, channel, ConfigVersion(1))).unwrap();
    stepped.run(store.lifetime(TENANT, channel)).unwrap();
    stepped.run(store.delivery_to(TENANT, arrival.event.id, channel)).unwrap();
    let patterns = ["a.*", "*", "a.b"].map(|text| Some(Pattern::parse(text).unwrap()));
    for event_types in patterns.into_iter().chain([None]) {
        for channel in [None, Some(channel)] {
            let query = StatsQuery { since: NOW, channel, event_types: event_types.clone() };
            stepped.run(store.stats(TENANT, query)).unwrap();
        }
    }
    lists(stepped, channel, arrival);
    inboxes(stepped, arrival);
}

fn inboxes(stepped: &Stepped, arrival: &Arrival) {
    let store = &stepped.store;
    for recipient in [None, Some("ada".to_owned())] {
        for is_unread_only in [false, true] {
            let query = InboxQuery { recipient: recipient.clone(), is_unread_only, before: None, rows_max: 50 };
            stepped.run(store.inbox(TENANT, query)).unwrap();
        }
        stepped.run(store.unread(TENANT, recipient.clone())).unwrap();
        stepped.run(store.mark_slice(TENANT, recipient, arrival.delivery, NOW, 10)).unwrap();
    }
    stepped.run(store.mark(TENANT, arrival.delivery, Some(NOW))).unwrap();
}

fn lists(stepped: &Stepped, channel: ChannelId, arrival: &Arrival) {
    let store = &stepped.store;
    for text in [None, Text::new("x")] {
        let query = EventQuery { event_types: Pattern::parse("a.*").ok(), text, ..EventQuery::newest(50) };
        stepped.run(store.events(TENANT, query)).unwrap();
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
        let page = stepped.run(store.attempts_page(TENANT, query)).unwrap();
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
                stepped.run(store.deliveries(TENANT, query)).unwrap();
            }
        }
        for delivery in [None, Some(arrival.delivery)] {
            for event in [None, Some(arrival.event.id)] {
                let query = AttemptQuery { delivery, channel, event, ..AttemptQuery::newest(50) };
                stepped.run(store.attempts(TENANT, query)).unwrap();
            }
        }
    }
}

/// What is wrong with how a statement finds its rows.
fn fault_of(sql: &str, step: &str, is_open: impl Fn(&str) -> bool) -> Option<&'static str> {
    let mut words = step.split(' ');
    let (verb, table) = (words.next()?, words.next()?);
    if is_open(table) {
        return None;
    }
    // Read whole, once, when the process starts.
    let is_start = table == "subscriptions" && step.ends_with("USING INDEX subscriptions_valid");
    // SQLite looks once for what refers to a tenant, when the last of it is erased.
    let is_end = table == "subscriptions" && sql.starts_with("DELETE FROM tenants");
    // Those that run: a handful for each tenant.
    let is_running = table == "redrives" && step.ends_with("USING INDEX redrives_running");
    // Segments that go are one or two; and retention walks through events a few at a time.
    let is_ending = table == "segments" && step.ends_with("USING COVERING INDEX segments_ending");
    let is_walk = sql.ends_with("ORDER BY id LIMIT 200");
    // The first row of the run is the answer.
    let is_any = sql.starts_with("SELECT EXISTS (");
    match verb {
        // By the quarter of an hour: of each there are as many sums as channels and types had something to do.
        "SEARCH" if table == "counters" && step.contains("bucket>") => None,
        // What is scanned is a bounded number of rows that were looked up.
        "SCAN" if table == "(subquery-1)" && sql.contains(" LIMIT ") => None,
        "SCAN" if !SMALL.contains(&table) && !is_start && !is_end && !is_running && !is_ending => {
            Some("it reads the whole table")
        }
        "SEARCH" if step.ends_with("(rowid=?)") || is_walk || is_any => None,
        "SEARCH" if step.contains("(rowid>") || step.contains("(rowid<") => Some("it reads a whole run of rows"),
        "SEARCH" if table.contains('_') && sql.contains("delivery_id = ?") && !step.contains("delivery_id=?") => {
            Some("it does not look up the delivery")
        }
        "SEARCH"
            if sql.contains("channel_id = ?") && !sql.contains("delivery_id = ?") && !step.contains("channel_id=?") =>
        {
            Some("it does not look up the channel")
        }
        "USE" if step.contains("ORDER BY") => Some("it sorts"),
        _ => None,
    }
}

#[test]
fn every_query_on_a_growing_table_is_indexed() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let tenant = NewTenant { slug: "acme".to_owned(), name: "Acme".to_owned(), email: None, providers: None };
    stepped.run(stepped.store.put_tenant(tenant, NOW)).unwrap();
    let new = NewChannel { tenant: TENANT, settings: settings(), derives_shard: true, routes: routes(&["*"]) };
    let channel = stepped.run(stepped.store.create_channel(new, NOW)).unwrap().channel.id;
    for _ in 0..3 {
        work(&stepped, channel);
    }
    while stepped.store.between_batches(Writer::upkeep_slice).unwrap() {}
    stepped.store.with_writer(listen);
    stepped.store.with_reader(listen);
    work(&stepped, channel);
    let ran = RAN.take();
    assert!(ran.len() > 60, "{} statements", ran.len());
    let faults = stepped.store.with_writer(|connection| explain_all(connection, &ran));
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn explain_all(connection: &Connection, ran: &BTreeSet<String>) -> Vec<String> {
    let closed: Vec<String> = connection
        .prepare(
            "SELECT kind || '_' || number FROM segments
             WHERE last_id < 9007199254740991 AND indexes = CASE kind WHEN 'events' THEN 1 WHEN 'settled' THEN 2 ELSE 3 END",
        )
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    let is_segment = |table: &str| ["events_", "settled_", "attempts_"].iter().any(|kind| table.starts_with(kind));
    let is_open = |table: &str| is_segment(table) && !closed.iter().any(|name| name == table);
    let mut faults = Vec::new();
    let mut segments_seen = 0;
    for sql in
        ran.iter().filter(|sql| ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb)))
    {
        let mut statement = match connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) {
            // Retention has taken the segment away since.
            Err(error) if error.to_string().contains("no such table") => continue,
            prepared => prepared.unwrap(),
        };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            segments_seen += usize::from(closed.iter().any(|table| step.contains(table.as_str())));
            if let Some(fault) = fault_of(sql, &step, is_open) {
                faults.push(format!("{fault}: {step}\n{sql}"));
            }
        }
    }
    assert!(segments_seen > 20, "closed segments were read by {segments_seen} statements");
    faults
}
