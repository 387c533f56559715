//! Redrives: what an order covers, that each slice is carried out once, and what it leaves behind.

use domain::delivery::State;
use domain::redrive::{OPEN_MAX, Progress, Redrive, Source, Wanted};
use domain::routing::Pattern;
use domain::{ChannelId, DeliveryId, EventId, RedriveId};

use super::Factory;
use super::digests::digest_of;
use super::fixtures::{
    EXPIRES_AT, NOW, OTHER_TENANT, TENANT, World, content, dead, event, later, request, retrying, sent,
};
use crate::journal::{Span, Text};
use crate::queue::{AcceptRequest, Settlement};
use crate::redrives::{DeadLook, EventLook, NewRedrive, RedriveSlice, Steer, Take};
use crate::{Journal as _, Queue as _, Redrives as _};

fn wanted() -> Wanted {
    Wanted {
        channel: Some(ChannelId(1)),
        code: Some(503),
        event_types: Pattern::parse("invoice.*").ok(),
        text: Some("refused".to_owned()),
        ..Wanted::default()
    }
}

async fn begin<F: Factory>(world: &World<'_, F>, source: Source) -> Redrive {
    let new = NewRedrive { source, wanted: wanted(), pace: 20 };
    world.store().begin_redrive(TENANT, new, NOW).await.unwrap().unwrap()
}

async fn steer<F: Factory>(world: &World<'_, F>, redrive: RedriveId, to: Progress) -> Option<Redrive> {
    let steer = Steer { to, note: "as asked".to_owned(), now: later(9) };
    world.store().steer_redrive(TENANT, redrive, steer).await.unwrap()
}

fn slice(redrive: &Redrive, reached: i64, take: Take) -> RedriveSlice {
    RedriveSlice { redrive: redrive.id, after: redrive.reached, reached, is_end: false, examined: 5, skipped: 1, take }
}

fn look(after: i64, rows_max: usize) -> DeadLook {
    DeadLook { channel: None, after: DeliveryId(after), up_to: DeliveryId(6), rows_max }
}

fn events(channel: i64) -> EventLook {
    EventLook {
        channel: ChannelId(channel),
        event_types: None,
        accepted: Span::default(),
        text: None,
        after: EventId(0),
        up_to: EventId(100),
        rows_max: 100,
        examined_max: 100,
    }
}

pub async fn an_order_is_kept_and_steered<F: Factory>(world: World<'_, F>) {
    world.post_each(TENANT, 1, 3).await;
    let begun = begin(&world, Source::Dead).await;
    assert_eq!((begun.source, begun.wanted.clone(), begun.pace), (Source::Dead, wanted(), 20));
    assert_eq!((begun.progress, begun.reached, begun.up_to, begun.created_at), (Progress::Running, 0, 3, NOW));
    let second = begin(&world, Source::History).await;
    assert_eq!(second.up_to, 3);
    let store = world.store();
    assert_eq!(store.redrive(TENANT, begun.id).await.unwrap(), Some(begun.clone()));
    assert_eq!(store.redrive(OTHER_TENANT, begun.id).await.unwrap(), None);
    assert_eq!(store.redrives(TENANT, None, 10).await.unwrap(), [second.clone(), begun.clone()]);
    assert_eq!(store.redrives(TENANT, Some(second.id), 10).await.unwrap(), std::slice::from_ref(&begun));
    assert_eq!(store.redrives(TENANT, None, 1).await.unwrap().len(), 1);
    assert_eq!(store.redrives(OTHER_TENANT, None, 10).await.unwrap(), []);
    assert_eq!(store.running_redrives().await.unwrap(), [(TENANT, begun.id), (TENANT, second.id)]);

    let paused = steer(&world, begun.id, Progress::Paused).await.unwrap();
    assert_eq!((paused.progress, paused.ended_at), (Progress::Paused, None));
    assert_eq!(store.running_redrives().await.unwrap(), [(TENANT, second.id)]);
    assert_eq!(steer(&world, begun.id, Progress::Running).await.unwrap().progress, Progress::Running);
    let ended = steer(&world, begun.id, Progress::Cancelled).await.unwrap();
    assert_eq!(
        (ended.progress, ended.note.as_str(), ended.ended_at),
        (Progress::Cancelled, "as asked", Some(later(9)))
    );
    assert_eq!(steer(&world, begun.id, Progress::Running).await.unwrap(), ended, "what is over stays so");
    assert_eq!(steer(&world, RedriveId(99), Progress::Running).await, None);
}

pub async fn a_tenant_has_so_many_open_orders<F: Factory>(world: World<'_, F>) {
    let mut last = begin(&world, Source::Dead).await;
    for _ in 1..OPEN_MAX {
        last = begin(&world, Source::Dead).await;
    }
    let new = NewRedrive { source: Source::Dead, wanted: wanted(), pace: 1 };
    assert_eq!(world.store().begin_redrive(TENANT, new.clone(), NOW).await.unwrap(), None);
    assert!(world.store().begin_redrive(OTHER_TENANT, new.clone(), NOW).await.unwrap().is_some());
    steer(&world, last.id, Progress::Cancelled).await;
    assert!(world.store().begin_redrive(TENANT, new, NOW).await.unwrap().is_some());
}

pub async fn dead_letters_are_looked_at_in_order<F: Factory>(world: World<'_, F>) {
    let first = world.post_each(TENANT, 1, 4).await;
    let others = world.post_each(OTHER_TENANT, 2, 1).await;
    let second = world.post_each(TENANT, 3, 2).await;
    for arrival in [&first[0], &first[1], &first[3], &others[0], &second[0], &second[1]] {
        world.settle(dead(arrival)).await;
    }
    world.settle(sent(&first[2])).await;
    let store = world.store();
    let page = store.dead_after(TENANT, look(0, 2)).await.unwrap();
    let ids = |page: &crate::redrives::Stretch<_>| -> Vec<i64> {
        page.rows.iter().map(|letter: &crate::redrives::DeadLetter| letter.delivery.id.0).collect()
    };
    assert_eq!((ids(&page), page.reached, page.examined, page.is_end), (vec![1, 2], 2, 2, false));
    assert_eq!((page.rows[0].code, page.rows[0].delivery.event_type.as_str()), (Some(200), "invoice.paid"));
    assert_eq!(page.rows[0].delivery.state, State::Dead);
    let page = store.dead_after(TENANT, look(2, 10)).await.unwrap();
    assert_eq!((ids(&page), page.reached, page.is_end), (vec![4, 6], 6, true), "not the seventh, which is beyond");
    let of_channel = DeadLook { channel: Some(ChannelId(3)), ..look(0, 10) };
    assert_eq!(ids(&store.dead_after(TENANT, of_channel).await.unwrap()), [6]);
}

pub async fn a_digest_of_dead_letters_comes_back_whole<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    let digest = digest_of(&arrivals[..2]);
    let members = digest.members.clone();
    let id = world.store().seal_digest(digest).await.unwrap();
    let of_digest = arrivals[..2].iter().map(|one| Settlement { digest: id, ..dead(one) });
    world.store().settle(of_digest.chain([dead(&arrivals[2])]).collect()).await.unwrap();
    let found = world.store().dead_after(TENANT, look(0, 10)).await.unwrap().rows;
    let of: Vec<_> = found.into_iter().map(|letter| letter.members).collect();
    assert_eq!(of, [members.clone(), members, Vec::new()], "each with all of its digest");

    let redrive = begin(&world, Source::Dead).await;
    let take = Take::Dead(vec![(DeliveryId(1), later(9000))]);
    let after = world.store().redrive_slice(TENANT, slice(&redrive, 1, take), NOW).await.unwrap().unwrap();
    assert_eq!((after.redriven, after.skipped), (2, 1));
    assert_eq!(world.waiting(1).await, [DeliveryId(1), DeliveryId(2)]);
    // The second is no longer dead.
    let take = Take::Dead(vec![(DeliveryId(2), later(9000)), (DeliveryId(3), later(9000))]);
    let after = world.store().redrive_slice(TENANT, slice(&after, 3, take), NOW).await.unwrap().unwrap();
    assert_eq!((after.redriven, after.skipped), (3, 3));
    assert_eq!(world.waiting(1).await.len(), 3);
}

pub async fn past_events_are_looked_at_with_how_they_were_delivered<F: Factory>(world: World<'_, F>) {
    let to_seven = world.post_each(TENANT, 7, 2).await;
    world.post(TENANT, &[8]).await;
    world.post(OTHER_TENANT, &[7]).await;
    let late = AcceptRequest { now: later(5000), ..request(TENANT, vec![event(TENANT, &[9])]) };
    world.accept(late).await;
    let wide: Vec<_> = (10..1200).collect();
    world.post(TENANT, &wide).await;
    world.settle(sent(&to_seven[0])).await;
    let store = world.store();
    let found = async |look: EventLook| -> Vec<(i64, Option<State>)> {
        let stretch = store.events_after(TENANT, look).await.unwrap();
        stretch.rows.iter().map(|past| (past.event.id.0, past.delivered)).collect()
    };
    let (sent, waits) = (Some(State::Sent), Some(State::Pending));
    assert_eq!(found(events(7)).await, [(1, sent), (2, waits), (3, None), (5, None), (6, None)]);
    // It is still to be made.
    assert_eq!(found(EventLook { after: EventId(5), ..events(1199) }).await, [(6, waits)]);
    let since = Span { since: Some(later(1)), until: None };
    assert_eq!(found(EventLook { accepted: since, ..events(7) }).await, [(5, None)]);
    assert_eq!(found(EventLook { text: Text::new("AMOUNT"), up_to: EventId(1), ..events(7) }).await.len(), 1);
    assert_eq!(found(EventLook { text: Text::new("nothing"), ..events(7) }).await, []);
    assert_eq!(found(EventLook { event_types: Pattern::parse("order.*").ok(), ..events(7) }).await, []);

    let part = store.events_after(TENANT, EventLook { rows_max: 2, ..events(7) }).await.unwrap();
    assert_eq!((part.rows.len(), part.reached, part.is_end), (2, 2, false));
    let rest = store.events_after(TENANT, EventLook { after: EventId(2), ..events(7) }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.reached, rest.is_end), (3, 100, true));
}

pub async fn a_slice_of_dead_letters_waits_again<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    for arrival in &arrivals {
        world.settle(dead(arrival)).await;
    }
    let begun = begin(&world, Source::Dead).await;
    world.store().retry(TENANT, arrivals[1].delivery, EXPIRES_AT).await.unwrap();
    let taken = arrivals[..2].iter().map(|arrival| (arrival.delivery, later(7))).collect();
    let after = world.store().redrive_slice(TENANT, slice(&begun, 2, Take::Dead(taken)), NOW).await.unwrap().unwrap();
    assert_eq!((after.reached, after.examined, after.redriven, after.skipped), (2, 5, 1, 2), "one was no longer dead");
    assert_eq!(after.progress, Progress::Running);
    let revived = world.delivery(arrivals[0].delivery).await;
    assert_eq!((revived.state, revived.attempts, revived.expires_at), (State::Retrying, 0, later(7)));
    assert_eq!(world.waiting(1).await, [arrivals[0].delivery, arrivals[1].delivery]);
    let rest = RedriveSlice { is_end: true, ..slice(&after, 3, Take::Dead(vec![(arrivals[2].delivery, later(7))])) };
    let done = world.store().redrive_slice(TENANT, rest, later(3)).await.unwrap().unwrap();
    assert_eq!((done.progress, done.redriven, done.ended_at), (Progress::Done, 2, Some(later(3))));
    assert_eq!(world.store().running_redrives().await.unwrap(), []);
}

pub async fn a_slice_of_events_is_delivered_anew<F: Factory>(world: World<'_, F>) {
    let old = world.post(TENANT, &[1]).await.id;
    let quiet = world.post(TENANT, &[]).await.id;
    let has_it = world.post(TENANT, &[5]).await.id;
    let foreign = world.post(OTHER_TENANT, &[1]).await.id;
    world.heard();
    let begun = begin(&world, Source::History).await;
    let channel = ChannelId(5);
    let all = vec![old, quiet, has_it, foreign, EventId(99)];
    let take = Take::Events { channel, expires_at: EXPIRES_AT, delivered: None, events: all };
    let after = world.store().redrive_slice(TENANT, slice(&begun, 4, take), later(8)).await.unwrap().unwrap();
    assert_eq!((after.redriven, after.skipped), (2, 4));
    let heard = world.heard();
    assert_eq!(
        heard.iter().map(|one| (one.event.id, one.channel)).collect::<Vec<_>>(),
        [(old, channel), (quiet, channel)]
    );
    assert_eq!((heard[0].created_at, heard[0].expires_at), (later(8), EXPIRES_AT));
    assert_eq!(&*heard[0].event.content.data, &*content(TENANT).data);
    assert_eq!(world.waiting(5).await[1..], [heard[0].delivery, heard[1].delivery]);
    let made = world.store().delivery_to(TENANT, old, channel).await.unwrap().unwrap();
    assert_eq!((made.id, made.created_at, made.state), (heard[0].delivery, later(8), State::Pending));
    assert_eq!(world.store().event(TENANT, old).await.unwrap().unwrap().deliveries, 2);
    let listed = world.store().deliveries_of(TENANT, old, DeliveryId(0), 10).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.channel.0).collect::<Vec<_>>(), [1, 5]);

    // What ended is delivered once more, and then no longer stands as it did.
    world.settle(sent(&heard[0])).await;
    let again = |redrive: &Redrive| {
        let events = vec![old, old];
        slice(redrive, 5, Take::Events { channel, expires_at: EXPIRES_AT, delivered: Some(State::Sent), events })
    };
    let after = world.store().redrive_slice(TENANT, again(&after), NOW).await.unwrap().unwrap();
    assert_eq!((after.redriven, after.skipped), (3, 6));
    let newest = world.store().delivery_to(TENANT, old, channel).await.unwrap().unwrap();
    assert_eq!((newest.id, newest.state), (world.heard()[0].delivery, State::Pending));
}

pub async fn a_slice_that_comes_twice_changes_nothing<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 1).await;
    world.settle(dead(&arrivals[0])).await;
    let begun = begin(&world, Source::Dead).await;
    let taken = slice(&begun, 1, Take::Dead(vec![(arrivals[0].delivery, EXPIRES_AT)]));
    let once = world.store().redrive_slice(TENANT, taken.clone(), NOW).await.unwrap();
    // It dies again, and the slice is repeated because its answer was lost.
    let again = crate::queue::Settlement { tries_before: 1, ..dead(&arrivals[0]) };
    world.settle(again).await;
    assert_eq!(world.store().redrive_slice(TENANT, taken, NOW).await.unwrap(), once);
    assert_eq!(world.waiting(1).await, []);
    assert_eq!(world.delivery(arrivals[0].delivery).await.state, State::Dead);
}

pub async fn an_order_that_does_not_run_takes_nothing<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 2).await;
    world.settle(dead(&arrivals[0])).await;
    world.settle(retrying(&arrivals[1], later(60_000))).await;
    let begun = begin(&world, Source::Dead).await;
    let taken = slice(&begun, 1, Take::Dead(vec![(arrivals[0].delivery, EXPIRES_AT)]));
    for progress in [Progress::Paused, Progress::Cancelled] {
        let stands = steer(&world, begun.id, progress).await;
        assert_eq!(world.store().redrive_slice(TENANT, taken.clone(), NOW).await.unwrap(), stands);
    }
    assert_eq!(world.store().redrive_slice(OTHER_TENANT, taken, NOW).await.unwrap(), None);
    assert_eq!(world.delivery(arrivals[0].delivery).await.state, State::Dead);
}

pub async fn an_order_survives_a_reopen<F: Factory>(mut world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 2).await;
    for arrival in &arrivals {
        world.settle(dead(arrival)).await;
    }
    let begun = begin(&world, Source::Dead).await;
    let first = slice(&begun, 1, Take::Dead(vec![(arrivals[0].delivery, EXPIRES_AT)]));
    let after = world.store().redrive_slice(TENANT, first.clone(), NOW).await.unwrap().unwrap();
    world.reopen().await;
    assert_eq!(world.store().running_redrives().await.unwrap(), [(TENANT, begun.id)]);
    assert_eq!(world.store().redrive(TENANT, begun.id).await.unwrap(), Some(after.clone()));
    assert_eq!(world.store().redrive_slice(TENANT, first, NOW).await.unwrap(), Some(after.clone()));
    let rest = RedriveSlice { is_end: true, ..slice(&after, 2, Take::Dead(vec![(arrivals[1].delivery, EXPIRES_AT)])) };
    assert_eq!(world.store().redrive_slice(TENANT, rest, NOW).await.unwrap().unwrap().redriven, 2);
    assert_eq!(world.waiting(1).await.len(), 2);
}
