//! Accepting: what is kept, in which order, and who hears of it when.
//!
//! Idempotency keys and fan-outs beyond one transaction have files of their own.

use std::sync::Arc;

use domain::event::{NewEvent, Severity};
use domain::routing::ConfigVersion;
use domain::verdict::{Reason, SKIPPED_MAX, Verdicts};
use domain::{ChannelId, DeliveryId, EventId, TraceContext};

use super::Factory;
use super::fixtures::{EXPIRES_AT, NOW, TENANT, World, content, event, later, request};
use crate::journal::StatsQuery;
use crate::queue::{AcceptEvent, AcceptedEvent};
use crate::{Journal as _, Queue as _, StoreError};

pub async fn an_event_is_kept_as_it_came<F: Factory>(world: World<'_, F>) {
    let texts = ["{}", "{\"a\": 1.50,\n \"ä\":\"\\u0000\"}", &format!("{{\"x\":\"{}\"}}", "y".repeat(300_000))];
    for (data, severity) in texts.iter().zip([None, Some(Severity::Debug), Some(Severity::Critical)]) {
        let content = NewEvent { data: (*data).into(), severity, ..content(TENANT) };
        let new = AcceptEvent { content: Arc::new(content), ..event(TENANT, &[4, 9]) };
        let kept = world.accept(request(TENANT, vec![new])).await.remove(0);
        let record = world.store().event(TENANT, kept.id).await.unwrap().unwrap();
        let read = &record.event.content;
        assert_eq!((record.event.id, record.event.accepted_at), (kept.id, NOW));
        assert_eq!((&*read.event_type, &*read.data), ("invoice.paid", *data));
        assert_eq!((read.tenant, read.occurred_at, read.severity), (TENANT, later(-5), severity));
        assert_eq!(read.explicit_channels, None);
        assert_eq!((record.deliveries, record.expanding), (2, 0));
    }
    assert!(world.store().event(TENANT, EventId(999)).await.unwrap().is_none());
}

pub async fn the_place_in_a_trace_is_kept<F: Factory>(mut world: World<'_, F>) {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = NewEvent { trace: TraceContext::parse(text), ..content(TENANT) };
    let traced = AcceptEvent { content: Arc::new(traced), ..event(TENANT, &[4]) };
    let kept = world.accept(request(TENANT, vec![traced, event(TENANT, &[4])])).await;
    world.reopen().await;
    for (kept, expected) in kept.iter().zip([Some(text.to_owned()), None]) {
        let record = world.store().event(TENANT, kept.id).await.unwrap().unwrap();
        assert_eq!(record.event.content.trace.map(|trace| trace.to_string()), expected);
    }
    let waiting = world.store().waiting_after(ChannelId(4), DeliveryId(0), NOW, 10).await.unwrap();
    let traces = waiting.iter().map(|row| row.event.as_ref().unwrap().content.trace.is_some());
    assert_eq!(traces.collect::<Vec<_>>(), [true, false]);
}

pub async fn ids_ascend_in_order_of_commit<F: Factory>(mut world: World<'_, F>) {
    let first = world.accept(request(TENANT, vec![event(TENANT, &[1, 2]), event(TENANT, &[1])])).await;
    world.reopen().await;
    let second = world.post(TENANT, &[2]).await;
    let ids: Vec<_> = first.iter().chain([&second]).map(|event| event.id.0).collect();
    assert!(ids.is_sorted_by(|left, right| left < right), "{ids:?}");
    let deliveries: Vec<_> = first.iter().chain([&second]).flat_map(|event| event.deliveries.clone()).collect();
    assert!(deliveries.is_sorted_by(|left, right| left.0 < right.0), "{deliveries:?}");
    assert_eq!(deliveries.iter().map(|(_, channel)| channel.0).collect::<Vec<_>>(), [1, 2, 1, 2]);
}

pub async fn arrivals_are_announced_before_the_answer_in_order_of_id<F: Factory>(world: World<'_, F>) {
    let test = AcceptEvent { attempts_max: Some(1), ..event(TENANT, &[3]) };
    let kept = world.accept(request(TENANT, vec![event(TENANT, &[1, 2]), test])).await;
    let heard = world.heard();
    let expected: Vec<_> = kept.iter().flat_map(|event| event.deliveries.iter().map(|one| (event.id, *one))).collect();
    let announced: Vec<_> = heard.iter().map(|one| (one.event.id, (one.delivery, one.channel))).collect();
    assert_eq!(announced, expected);
    for arrival in &heard {
        assert_eq!((arrival.created_at, arrival.expires_at), (NOW, EXPIRES_AT));
        assert_eq!(arrival.event.content.data, content(TENANT).data);
        assert_eq!(arrival.attempts_max, (arrival.channel == ChannelId(3)).then_some(1));
    }
}

pub async fn a_request_is_kept_whole_or_not_at_all<F: Factory>(world: World<'_, F>) {
    // The second event breaks the rule that deliveries are in order of channel.
    let broken = request(TENANT, vec![event(TENANT, &[1]), event(TENANT, &[2, 1])]);
    assert!(matches!(world.store().accept(broken).await, Err(StoreError::Refused(_))));
    assert!(world.heard().is_empty());
    assert_eq!(world.store().waiting_channels().await.unwrap(), []);
    let kept = world.post(TENANT, &[1]).await;
    assert_eq!(world.waiting(1).await, [kept.deliveries[0].0]);
    assert_eq!(world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap().events, 1);
}

pub async fn explicit_channels_are_kept<F: Factory>(world: World<'_, F>) {
    for named in [vec![], vec![7, 3], (1..=1500).collect::<Vec<_>>()] {
        let mut sorted: Vec<_> = named.iter().copied().map(ChannelId).collect();
        let content = NewEvent { explicit_channels: Some(sorted.clone()), ..content(TENANT) };
        // Not every channel that was named takes it.
        let reached: Vec<_> = named.iter().copied().filter(|channel| *channel == 3).collect();
        let new = AcceptEvent { content: Arc::new(content), ..event(TENANT, &reached) };
        let kept = world.accept(request(TENANT, vec![new])).await.remove(0);
        let record = world.store().event(TENANT, kept.id).await.unwrap().unwrap();
        sorted.sort_unstable();
        assert_eq!(record.event.content.explicit_channels, Some(sorted));
        assert_eq!(record.deliveries, reached.len());
    }
}

pub async fn verdicts_are_kept_up_to_their_bound<F: Factory>(world: World<'_, F>) {
    for count in [0, 3, SKIPPED_MAX, SKIPPED_MAX + 25] {
        let reasons = Reason::ALL.into_iter().cycle();
        let skipped = (1..).map(|number| ChannelId(number * 3)).zip(reasons).take(count).collect();
        let verdicts = Verdicts::new(ConfigVersion(17), skipped);
        let new = AcceptEvent { verdicts: verdicts.clone(), ..event(TENANT, &[1]) };
        let kept = world.accept(request(TENANT, vec![new])).await.remove(0);
        let record = world.store().event(TENANT, kept.id).await.unwrap().unwrap();
        assert_eq!(record.verdicts, verdicts);
        assert_eq!(record.verdicts.skipped_more, u64::try_from(count.saturating_sub(SKIPPED_MAX)).unwrap());
    }
}

pub async fn events_without_deliveries_are_kept<F: Factory>(world: World<'_, F>) {
    let kept = world.post(TENANT, &[]).await;
    assert_eq!(kept, AcceptedEvent { id: kept.id, deliveries: Vec::new(), expanding: 0, is_repeat: false });
    assert!(world.heard().is_empty());
    assert_eq!(world.store().event(TENANT, kept.id).await.unwrap().unwrap().deliveries, 0);
    assert_eq!(world.store().deliveries_of(TENANT, kept.id, DeliveryId(0), 10).await.unwrap(), []);
}
