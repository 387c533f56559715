//! The in-app inbox: entries come with settlements, exactly once, and are read and marked.

use domain::outcome::Outcome;
use domain::{DeliveryId, delivery::State};

use super::Factory;
use super::fixtures::{NOW, OTHER_TENANT, TENANT, World, later, over, retrying, settlement};
use crate::inbox::{Inbox as _, InboxEntry, InboxQuery, InboxRow, UNREAD_COUNTED_MAX};
use crate::queue::{Arrival, Settlement};

fn entry(recipient: &str, content: &str) -> InboxEntry {
    InboxEntry { recipient: recipient.to_owned(), content: content.to_owned() }
}

/// Sent into the inbox of `recipient`.
fn brought(arrival: &Arrival, recipient: &str) -> Settlement {
    let inbox = vec![entry(recipient, "{\"title\":\"Hello\"}")];
    Settlement { inbox, ..settlement(arrival, Outcome::delivered(), over(State::Sent)) }
}

fn all() -> InboxQuery {
    InboxQuery { recipient: None, is_unread_only: false, before: None, rows_max: 100 }
}

async fn list<F: Factory>(world: &World<'_, F>, query: InboxQuery) -> Vec<InboxRow> {
    world.store().inbox(TENANT, query).await.unwrap()
}

fn ids(rows: &[InboxRow]) -> Vec<DeliveryId> {
    rows.iter().map(|row| row.id).collect()
}

pub async fn an_entry_comes_with_its_settlement_once<F: Factory>(mut world: World<'_, F>) {
    let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
    // A try that failed brings nothing.
    world.settle(retrying(&arrival, NOW)).await;
    assert!(list(&world, all()).await.is_empty());
    let done = Settlement { tries_before: 1, ..brought(&arrival, "ada") };
    world.settle(done.clone()).await;
    world.settle(done).await;
    world.reopen().await;
    let rows = list(&world, all()).await;
    assert_eq!(rows.len(), 1);
    let InboxRow { id, channel, event, entry: kept, created_at, read_at } = rows[0].clone();
    assert_eq!((id, channel, event), (arrival.delivery, arrival.channel, arrival.event.id));
    assert_eq!((kept, created_at, read_at), (entry("ada", "{\"title\":\"Hello\"}"), later(1000), None));
}

pub async fn inboxes_are_listed_in_pages<F: Factory>(world: World<'_, F>) {
    let mine = world.post_each(TENANT, 1, 5).await;
    for (arrival, recipient) in mine.iter().zip(["ada", "bob", "ada", "", "ada"]) {
        world.settle(brought(arrival, recipient)).await;
    }
    let other = world.post_each(OTHER_TENANT, 2, 1).await.remove(0);
    world.settle(brought(&other, "ada")).await;
    let newest: Vec<_> = mine.iter().rev().map(|arrival| arrival.delivery).collect();
    assert_eq!(ids(&list(&world, all()).await), newest);
    let page = list(&world, InboxQuery { before: Some(newest[1]), rows_max: 2, ..all() }).await;
    assert_eq!(ids(&page), newest[2..4]);
    let of = |recipient: &str| InboxQuery { recipient: Some(recipient.to_owned()), ..all() };
    assert_eq!(ids(&list(&world, of("ada")).await), [newest[0], newest[2], newest[4]]);
    assert_eq!(ids(&list(&world, of("")).await), [newest[1]]);
    assert!(list(&world, of("eve")).await.is_empty());
}

pub async fn entries_are_marked_read<F: Factory>(world: World<'_, F>) {
    let mine = world.post_each(TENANT, 1, 4).await;
    for (arrival, recipient) in mine.iter().zip(["ada", "bob", "ada", "bob"]) {
        world.settle(brought(arrival, recipient)).await;
    }
    let store = world.store();
    let unread = async |recipient: Option<&str>| store.unread(TENANT, recipient.map(ToOwned::to_owned)).await.unwrap();
    assert_eq!((unread(None).await, unread(Some("ada")).await, unread(Some("eve")).await), (4, 2, 0));
    let first = mine[0].delivery;
    assert!(store.mark(OTHER_TENANT, first, Some(NOW)).await.unwrap().is_none());
    assert!(store.mark(TENANT, DeliveryId(999), Some(NOW)).await.unwrap().is_none());
    let marked = store.mark(TENANT, first, Some(later(1))).await.unwrap().unwrap();
    assert_eq!(marked.read_at, Some(later(1)));
    let again = store.mark(TENANT, first, Some(later(2))).await.unwrap().unwrap();
    assert_eq!(again.read_at, Some(later(1)));
    let query = InboxQuery { is_unread_only: true, ..all() };
    assert_eq!(ids(&list(&world, query).await), [3, 2, 1].map(|position: usize| mine[position].delivery));
    assert_eq!(store.mark(TENANT, first, None).await.unwrap().unwrap().read_at, None);
    assert_eq!(unread(None).await, 4);

    let bob = || Some("bob".to_owned());
    assert_eq!(store.mark_slice(TENANT, bob(), mine[1].delivery, NOW, 10).await.unwrap(), 1);
    assert_eq!((unread(Some("bob")).await, unread(None).await), (1, 3));
    assert_eq!(store.mark_slice(TENANT, None, DeliveryId(i64::MAX), NOW, 2).await.unwrap(), 2);
    assert_eq!(store.mark_slice(TENANT, None, DeliveryId(i64::MAX), NOW, 2).await.unwrap(), 1);
    assert_eq!(store.mark_slice(TENANT, None, DeliveryId(i64::MAX), NOW, 2).await.unwrap(), 0);
    assert!(unread(None).await < UNREAD_COUNTED_MAX);
}
