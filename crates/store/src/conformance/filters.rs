//! Lists that leave out most of what they look at: every filter, short pages, and rows that arrive meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::delivery::{Attempt, AttemptResult, Delivery, State};
use domain::event::{NewEvent, Severity};
use domain::outcome::{Class, Outcome};
use domain::routing::Pattern;
use domain::{ChannelId, DeliveryId, EventId};

use super::Factory;
use super::fixtures::{
    OTHER_TENANT, TENANT, World, content, event, later, over, record, request, retrying, sent, settlement,
};
use crate::journal::{
    AttemptPage, AttemptPageQuery, AttemptQuery, DeliveryQuery, EventQuery, EventSummary, Span, StateFilter, Text,
};
use crate::queue::{AcceptEvent, AcceptRequest, Arrival, Settlement};
use crate::{Journal as _, Queue as _};

const TYPES: [&str; 4] = ["a.b", "a.c", "a_b", "postrider.test"];

/// Events of several types, a second apart, each to two channels; every third of another tenant. They settle in every
/// way there is.
async fn populate<F: Factory>(world: &World<'_, F>) -> Vec<Arrival> {
    let mut mine = Vec::new();
    for number in 0_i64..24 {
        let tenant = if number % 3 == 2 { OTHER_TENANT } else { TENANT };
        let position = usize::try_from(number).unwrap();
        let content = NewEvent {
            event_type: TYPES[position % 4].into(),
            data: format!("{{\"amount\":{number},\"note\":\"100%_Off\"}}").into(),
            severity: (number % 2 == 0).then_some(Severity::Error),
            ..content(tenant)
        };
        let kept = AcceptEvent { content: Arc::new(content), ..event(tenant, &[1, 2]) };
        world.accept(AcceptRequest { now: later(number * 1000), ..request(tenant, vec![kept]) }).await;
        let heard = world.heard();
        for (index, arrival) in heard.iter().enumerate() {
            let settled = match (position + index) % 5 {
                0 => sent(arrival),
                1 => settlement(arrival, Outcome::retry("Connection REFUSED"), over(State::Dead)),
                2 => retrying(arrival, later(9_000_000)),
                3 => settlement(arrival, Outcome::unknown("no answer"), over(State::Sent)),
                _ => continue,
            };
            let mut attempt = record(1, settled.records[0].outcome.clone());
            attempt.started_at = later(number * 1000);
            attempt.code = Some(if index == 0 { 200 } else { 503 });
            attempt.body = format!("Body {number}");
            let provider = if index == 0 { "webhook".into() } else { "slack".into() };
            world.settle(Settlement { records: vec![attempt], provider, ..settled }).await;
        }
        if tenant == TENANT {
            mine.extend(heard);
        }
    }
    mine
}

fn pattern(text: &str) -> Option<Pattern> {
    Pattern::parse(text).ok()
}

fn span(since: i64, until: i64) -> Span {
    Span { since: Some(later(since)), until: Some(later(until)) }
}

/// The sizes of pages, and how much each may examine.
const PAGES: [(usize, usize); 5] = [(1, 1), (2, 3), (3, 2), (5, 9), (1000, usize::MAX)];

async fn deliveries<F: Factory>(world: &World<'_, F>, query: &DeliveryQuery) -> Vec<Delivery> {
    let mut pages = Vec::new();
    for (rows_max, examined_max) in PAGES {
        pages.push(world.list_all(DeliveryQuery { rows_max, examined_max, ..query.clone() }).await);
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]), "{query:?} depends on the size of pages");
    pages.remove(0)
}

pub async fn deliveries_pass_every_filter<F: Factory>(world: World<'_, F>) {
    let mine = populate(&world).await;
    let all = deliveries(&world, &DeliveryQuery::newest(1)).await;
    assert_eq!(all.iter().rev().map(|one| one.id).collect::<Vec<_>>(), ids(&mine));
    let query = DeliveryQuery::newest(1);
    let check = async |query: DeliveryQuery, passes: &dyn Fn(&Delivery) -> bool| {
        let expected: Vec<_> = all.iter().filter(|one| passes(one)).cloned().collect();
        assert_eq!(deliveries(&world, &query).await, expected, "{query:?}");
        assert!(!expected.is_empty() && expected.len() < all.len(), "{query:?} tells nothing");
    };
    let types = DeliveryQuery { event_types: pattern("a.*"), ..query.clone() };
    check(types.clone(), &|one| one.event_type.starts_with("a.")).await;
    check(DeliveryQuery { event_types: pattern("a_b"), ..query.clone() }, &|one| one.event_type == "a_b").await;
    let event = mine[6].event.id;
    check(DeliveryQuery { event: Some(event), ..query.clone() }, &|one| one.event == event).await;
    let created = span(3_000, 12_000);
    check(DeliveryQuery { created, ..query.clone() }, &|one| created.contains(one.created_at)).await;
    let since = Span { until: None, ..created };
    check(DeliveryQuery { created: since, ..query.clone() }, &|one| one.created_at >= later(3_000)).await;
    let text = Text::new("DEAD");
    check(DeliveryQuery { text, ..query.clone() }, &|one| one.reason == "it is dead").await;
    let state = Some(StateFilter::Settled(State::Sent));
    check(DeliveryQuery { state, ..types.clone() }, &|one| {
        one.state == State::Sent && one.event_type.starts_with("a.")
    })
    .await;
    let channel = Some(ChannelId(2));
    check(DeliveryQuery { channel, state: Some(StateFilter::Waiting), ..types }, &|one| {
        one.channel == ChannelId(2) && !one.state.is_final() && one.event_type.starts_with("a.")
    })
    .await;
    check(DeliveryQuery { event: Some(event), channel, ..query.clone() }, &|one| {
        one.event == event && one.channel == ChannelId(2)
    })
    .await;
    for nothing in ["%", "_", "x".repeat(200).as_str()] {
        let query = DeliveryQuery { text: Text::new(nothing), ..query.clone() };
        assert_eq!(deliveries(&world, &query).await, [], "{nothing}");
    }
}

fn ids(arrivals: &[Arrival]) -> Vec<DeliveryId> {
    arrivals.iter().map(|arrival| arrival.delivery).collect()
}

pub async fn attempts_pass_every_filter<F: Factory>(world: World<'_, F>) {
    let mine = populate(&world).await;
    let read = async |query: AttemptQuery| -> Vec<Attempt> {
        let mut all = Vec::new();
        let mut before = query.before;
        loop {
            let page = world.store().attempts(TENANT, AttemptQuery { before, ..query.clone() }).await.unwrap();
            all.extend(page.rows);
            let Some(next) = page.next else { return all };
            assert!(before.is_none_or(|before| next < before), "no way forward from {before:?}");
            before = Some(next);
        }
    };
    let all = read(AttemptQuery::newest(1000)).await;
    let check = async |query: AttemptQuery, passes: &dyn Fn(&Attempt) -> bool| {
        let expected: Vec<_> = all.iter().filter(|one| passes(one)).cloned().collect();
        for (rows_max, examined_max) in PAGES {
            // A look into a segment counts as well.
            let paged = AttemptQuery { rows_max, examined_max: examined_max.saturating_add(1), ..query.clone() };
            assert_eq!(read(paged).await, expected, "{query:?}");
        }
        assert!(!expected.is_empty() && expected.len() < all.len(), "{query:?} tells nothing");
    };
    let query = AttemptQuery::newest(1);
    check(AttemptQuery { event_types: pattern("a.*"), ..query.clone() }, &|one| one.event_type.starts_with("a.")).await;
    let event = mine[6].event.id;
    check(AttemptQuery { event: Some(event), ..query.clone() }, &|one| one.event == event).await;
    let provider = Some("slack".to_owned());
    check(AttemptQuery { provider, ..query.clone() }, &|one| one.provider == "slack").await;
    check(AttemptQuery { code: Some(503), ..query.clone() }, &|one| one.record.code == Some(503)).await;
    let started = span(3_000, 12_000);
    check(AttemptQuery { started, ..query.clone() }, &|one| started.contains(one.record.started_at)).await;
    let text = Text::new("refused");
    check(AttemptQuery { text, ..query.clone() }, &|one| {
        one.record.outcome.note.to_lowercase() == "connection refused"
    })
    .await;
    check(AttemptQuery { text: Text::new("body 1"), ..query.clone() }, &|one| one.record.body.starts_with("Body 1"))
        .await;
    let (channel, class) = (Some(ChannelId(1)), Some(Class::Retry));
    check(AttemptQuery { channel, class, ..query.clone() }, &|one| {
        one.channel == ChannelId(1) && one.record.outcome.class == Class::Retry
    })
    .await;
    assert_eq!(read(AttemptQuery { event: Some(EventId(999)), ..query.clone() }).await, []);
    assert_eq!(read(AttemptQuery { text: Text::new("%"), ..query }).await, []);
}

pub async fn attempts_are_paged_by_number<F: Factory>(world: World<'_, F>) {
    populate(&world).await;
    let all = world.store().attempts(TENANT, AttemptQuery::newest(1000)).await.unwrap().rows;
    let everything = AttemptPageQuery {
        channel: None,
        except: BTreeSet::new(),
        providers: ["slack", "webhook"].map(ToOwned::to_owned).into(),
        event_type: None,
        result: None,
        skip: 0,
        rows_max: 1000,
        examined_max: 1000,
    };
    let check = async |query: AttemptPageQuery, passes: &dyn Fn(&Attempt) -> bool| {
        let expected: Vec<_> = all.iter().filter(|one| passes(one)).cloned().collect();
        for rows_max in [1, 3, 1000] {
            for skip in (0..expected.len() + 2).step_by(rows_max) {
                let page = AttemptPageQuery { skip, rows_max, ..query.clone() };
                let found = world.store().attempts_page(TENANT, page).await.unwrap();
                let rows: Vec<_> = expected.iter().skip(skip).take(rows_max).cloned().collect();
                assert_eq!(found, AttemptPage { rows, total: expected.len() }, "{query:?}");
            }
        }
        assert!(!expected.is_empty() && expected.len() < all.len(), "{query:?} tells nothing");
    };
    let channel = Some(ChannelId(2));
    check(AttemptPageQuery { channel, ..everything.clone() }, &|one| one.channel == ChannelId(2)).await;
    let except = BTreeSet::from([ChannelId(2), ChannelId(9)]);
    check(AttemptPageQuery { except, ..everything.clone() }, &|one| one.channel == ChannelId(1)).await;
    let providers = BTreeSet::from(["slack".to_owned()]);
    check(AttemptPageQuery { providers, ..everything.clone() }, &|one| one.provider == "slack").await;
    let event_type = Some("a_b".to_owned());
    check(AttemptPageQuery { event_type: event_type.clone(), ..everything.clone() }, &|one| one.event_type == "a_b")
        .await;
    for result in [AttemptResult::Delivered, AttemptResult::Failed, AttemptResult::GaveUp] {
        check(AttemptPageQuery { result: Some(result), ..everything.clone() }, &|one| one.result() == result).await;
    }
    let result = Some(AttemptResult::Failed);
    check(AttemptPageQuery { channel, result, ..everything.clone() }, &|one| {
        one.channel == ChannelId(2) && one.result() == AttemptResult::Failed
    })
    .await;
    // What is beyond the bound is not counted; a segment that is looked into counts as a row.
    let bounded = AttemptPageQuery { examined_max: 7, ..everything.clone() };
    let found = world.store().attempts_page(TENANT, bounded).await.unwrap();
    assert!((3..7).contains(&found.total), "{}", found.total);
    assert_eq!(found.rows, all[..found.total]);
    let none = AttemptPageQuery { providers: BTreeSet::new(), ..everything };
    assert_eq!(world.store().attempts_page(TENANT, none).await.unwrap(), AttemptPage { rows: Vec::new(), total: 0 });
}

pub async fn events_are_listed_newest_first<F: Factory>(world: World<'_, F>) {
    populate(&world).await;
    let read = async |query: EventQuery| -> Vec<EventSummary> {
        let mut all = Vec::new();
        let mut before = query.before;
        loop {
            let page = world.store().events(TENANT, EventQuery { before, ..query.clone() }).await.unwrap();
            all.extend(page.rows);
            let Some(next) = page.next else { return all };
            assert!(before.is_none_or(|before| next < before), "no way forward from {before:?}");
            before = Some(next);
        }
    };
    let all = read(EventQuery::newest(1000)).await;
    assert_eq!(all.len(), 16);
    assert!(all.is_sorted_by(|newer, older| newer.id > older.id));
    for listed in &all {
        let kept = world.store().event(TENANT, listed.id).await.unwrap().unwrap();
        assert_eq!((listed.accepted_at, listed.severity), (kept.event.accepted_at, kept.event.content.severity));
        assert_eq!((listed.event_type.as_str(), listed.deliveries), (&*kept.event.content.event_type, 2));
        assert_eq!(listed.occurred_at, kept.event.content.occurred_at);
    }
    let check = async |query: EventQuery, passes: &dyn Fn(&EventSummary) -> bool| {
        let expected: Vec<_> = all.iter().filter(|one| passes(one)).cloned().collect();
        for (rows_max, examined_max) in PAGES {
            let paged = EventQuery { rows_max, examined_max: examined_max.saturating_add(1), ..query.clone() };
            assert_eq!(read(paged).await, expected, "{query:?}");
        }
        assert!(!expected.is_empty() && expected.len() < all.len(), "{query:?} tells nothing");
    };
    let query = EventQuery::newest(1);
    check(EventQuery { event_types: pattern("a.*"), ..query.clone() }, &|one| one.event_type.starts_with("a.")).await;
    check(EventQuery { event_types: pattern("postrider.test"), ..query.clone() }, &|one| {
        one.event_type == "postrider.test"
    })
    .await;
    let severity = Some(Severity::Error);
    check(EventQuery { severity, ..query.clone() }, &|one| one.severity == severity).await;
    let accepted = span(3_000, 12_000);
    check(EventQuery { accepted, ..query.clone() }, &|one| accepted.contains(one.accepted_at)).await;
    let text = Text::new("\"AMOUNT\":13,");
    check(EventQuery { text, ..query.clone() }, &|one| one.accepted_at == later(13_000)).await;
    assert_eq!(read(EventQuery { text: Text::new("100%_off"), ..query.clone() }).await, all);
    assert_eq!(read(EventQuery { text: Text::new("1%f"), ..query }).await, []);
}

pub async fn a_page_ends_when_enough_was_examined<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 20).await;
    world.settle(settlement(&arrivals[0], Outcome::retry("needle"), over(State::Dead))).await;
    for arrival in &arrivals[5..] {
        world.settle(sent(arrival)).await;
    }
    let query = DeliveryQuery { text: Text::new("it is dead"), examined_max: 3, ..DeliveryQuery::newest(5) };
    let mut before = None;
    let mut sizes = Vec::new();
    loop {
        let page = DeliveryQuery { before, ..query.clone() };
        let page = world.store().deliveries(TENANT, page).await.unwrap();
        sizes.push(page.rows.len());
        if page.next.is_none() {
            break;
        }
        before = page.next;
    }
    assert_eq!(sizes, [0, 0, 0, 0, 0, 0, 1]);
    let query = AttemptQuery { text: Text::new("needle"), examined_max: 3, ..AttemptQuery::newest(5) };
    let page = world.store().attempts(TENANT, query).await.unwrap();
    assert!(page.rows.is_empty() && page.next.is_some());
    let query = EventQuery { text: Text::new("needle"), examined_max: 3, ..EventQuery::newest(5) };
    let page = world.store().events(TENANT, query).await.unwrap();
    assert!(page.rows.is_empty() && page.next.is_some());
}

pub async fn cursors_hold_while_rows_arrive_and_move<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 12).await;
    for arrival in &arrivals[..4] {
        world.settle(sent(arrival)).await;
    }
    let mut before = None;
    let mut read = Vec::new();
    for arrival in &arrivals[4..] {
        let page = DeliveryQuery { before, ..DeliveryQuery::newest(2) };
        let page = world.store().deliveries(TENANT, page).await.unwrap();
        read.extend(page.rows.into_iter().map(|one| one.id));
        // Behind the cursor and before it, deliveries settle; new ones arrive.
        world.settle(sent(arrival)).await;
        world.post_each(TENANT, 1, 3).await;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<_> = arrivals.iter().rev().map(|arrival| arrival.delivery).collect();
    assert_eq!(read, expected);
}

pub async fn a_wide_event_lists_its_own<F: Factory>(world: World<'_, F>) {
    let channels: Vec<i64> = (1..=1010).collect();
    let before = world.post(TENANT, &[1, 2]).await;
    let wide = world.post(TENANT, &channels).await;
    world.post(TENANT, &[1, 2]).await;
    while world.store().expand(4).await.unwrap() {}
    for arrival in world.heard().iter().filter(|arrival| arrival.channel.0 <= 40 || arrival.channel.0 > 1005) {
        world.settle(retrying(arrival, later(9_000_000))).await;
    }
    let query = DeliveryQuery { event: Some(wide.id), ..DeliveryQuery::newest(300) };
    let listed = world.list_all(query.clone()).await;
    let expected: Vec<_> = channels.iter().rev().map(|channel| ChannelId(*channel)).collect();
    assert_eq!(listed.iter().map(|one| one.channel).collect::<Vec<_>>(), expected);
    let retrying = DeliveryQuery { state: Some(StateFilter::Retrying), ..query };
    assert_eq!(world.list_all(retrying).await.len(), 45);
    for (event, count) in [(wide.id, 45), (before.id, 2)] {
        let query = AttemptQuery { event: Some(event), ..AttemptQuery::newest(100) };
        let attempts = world.store().attempts(TENANT, query).await.unwrap().rows;
        assert!(attempts.iter().all(|attempt| attempt.event == event) && attempts.len() == count, "{attempts:?}");
        let query = AttemptQuery { event: Some(event), channel: Some(ChannelId(2)), ..AttemptQuery::newest(100) };
        assert_eq!(world.store().attempts(TENANT, query).await.unwrap().rows.len(), 1);
    }
    for channel in [1, 1000, 1001, 1010] {
        let found = world.store().delivery_to(TENANT, wide.id, ChannelId(channel)).await.unwrap().unwrap();
        assert_eq!((found.event, found.channel), (wide.id, ChannelId(channel)));
    }
    assert_eq!(world.store().delivery_to(TENANT, wide.id, ChannelId(1011)).await.unwrap(), None);
    assert_eq!(world.store().delivery_to(TENANT, EventId(99), ChannelId(1)).await.unwrap(), None);
    let events = world.store().events(TENANT, EventQuery::newest(9)).await.unwrap().rows;
    assert_eq!(events.iter().map(|event| event.deliveries).collect::<Vec<_>>(), [2, 1010, 2]);
}
