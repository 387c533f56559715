//! The end of a tenant: suspended, resumed, deleted, and erased slice by slice while others go on.

use domain::delivery::State;
use domain::quotas::Quotas;
use domain::tenant::Scope;
use domain::{ChannelId, DeliveryId, EventId, TenantId};

use super::Factory;
use super::fixtures::{
    EXPIRES_AT, NOW, OTHER_TENANT, TENANT, World, dead, event, key, later, request, retrying, sent, untried,
};
use crate::StoreError;
use crate::directory::{NewKey, NewTenant};
use crate::journal::{AttemptQuery, DeliveryQuery, EventQuery, Stats, StatsQuery};
use crate::queue::{AcceptEvent, AcceptRequest, Arrival};
use crate::{Directory as _, Journal as _, Queue as _};

/// Both tenants, made in the order of their ids.
async fn make_both<F: Factory>(world: &World<'_, F>) {
    for (slug, id) in [("acme", TENANT), ("beta", OTHER_TENANT)] {
        assert_eq!(put(world, slug).await, id);
    }
}

async fn put<F: Factory>(world: &World<'_, F>, slug: &str) -> TenantId {
    let new = NewTenant {
        slug: slug.to_owned(),
        name: slug.to_owned(),
        email: None,
        providers: None,
        quotas: Quotas::default(),
    };
    world.store().put_tenant(new, NOW).await.unwrap().id
}

fn new_key(tenant: TenantId, hash: u8) -> NewKey {
    NewKey {
        tenant: Some(tenant),
        name: "K".to_owned(),
        hash: [hash; 32],
        prefix: "pk".to_owned(),
        username: None,
        scopes: vec![Scope::Inbox],
        expires_at: None,
    }
}

/// Everything that a tenant can leave behind: channels, keys, events wide and narrow, deliveries in every state. Each
/// tenant has channels of its own.
async fn populate<F: Factory>(world: &World<'_, F>, tenant: TenantId) -> Vec<Arrival> {
    let channel = world.create_channel(tenant, &["*", "a.*"]).await.channel.id.0;
    world.create_channel(tenant, &["b"]).await;
    let hash = u8::try_from(tenant.0).unwrap();
    world.store().create_key(new_key(tenant, hash), NOW).await.unwrap().unwrap();
    world.heard();
    let keyed = AcceptEvent { key: Some(key(1, 1)), ..event(tenant, &[channel]) };
    let wide: Vec<_> = (tenant.0 * 10_000..tenant.0 * 10_000 + 1007).collect();
    world.accept(request(tenant, vec![keyed, event(tenant, &wide), event(tenant, &[])])).await;
    world.accept(AcceptRequest { now: later(86_400_000), key: Some(key(2, 2)), ..request(tenant, vec![]) }).await;
    assert!(world.store().expand(3).await.unwrap());
    let heard = world.heard();
    let ends = [sent, dead, |arrival: &Arrival| untried(arrival, State::Expired), |one: &Arrival| retrying(one, NOW)];
    let settlements = heard.iter().take(50).zip(ends.iter().cycle()).map(|(arrival, end)| end(arrival)).collect();
    world.store().settle(settlements).await.unwrap();
    heard
}

/// All that can be read of a tenant.
async fn all_of<F: Factory>(world: &World<'_, F>, tenant: TenantId) -> (usize, Vec<DeliveryId>, usize, Stats) {
    let store = world.store();
    let events = store.events(tenant, EventQuery::newest(10_000)).await.unwrap().rows.len();
    let deliveries = store.deliveries(tenant, DeliveryQuery::newest(10_000)).await.unwrap().rows;
    let attempts = store.attempts(tenant, AttemptQuery::newest(10_000)).await.unwrap().rows.len();
    let stats = store.stats(tenant, StatsQuery::since(NOW)).await.unwrap();
    (events, deliveries.into_iter().map(|one| one.id).collect(), attempts, stats)
}

pub async fn a_suspension_is_kept_until_it_ends<F: Factory>(mut world: World<'_, F>) {
    make_both(&world).await;
    let suspended = world.store().suspend_tenant(TENANT, later(5)).await.unwrap().unwrap();
    assert_eq!((suspended.id, suspended.suspended_at), (TENANT, Some(later(5))));
    let again = world.store().suspend_tenant(TENANT, later(9)).await.unwrap().unwrap();
    assert_eq!(again, suspended);
    put(&world, "acme").await;
    world.reopen().await;
    let loaded = world.store().load().await.unwrap().tenants;
    assert_eq!(loaded.iter().map(|one| one.suspended_at).collect::<Vec<_>>(), [Some(later(5)), None]);
    for _ in 0..2 {
        assert_eq!(world.store().resume_tenant(TENANT).await.unwrap().unwrap().suspended_at, None);
    }
    assert_eq!(world.store().load().await.unwrap().tenants[0].suspended_at, None);
    assert_eq!(world.store().suspend_tenant(TenantId(99), NOW).await.unwrap(), None);
    assert_eq!(world.store().resume_tenant(TenantId(99)).await.unwrap(), None);
}

pub async fn a_deleted_tenant_is_gone_at_once<F: Factory>(mut world: World<'_, F>) {
    make_both(&world).await;
    populate(&world, TENANT).await;
    populate(&world, OTHER_TENANT).await;
    let version = world.store().load().await.unwrap().config_version;
    assert!(world.store().delete_tenant(TENANT, NOW).await.unwrap());
    assert!(!world.store().delete_tenant(TENANT, NOW).await.unwrap());
    assert!(!world.store().delete_tenant(TenantId(99), NOW).await.unwrap());
    assert_eq!(world.store().suspend_tenant(TENANT, NOW).await.unwrap(), None);
    assert_eq!(world.store().resume_tenant(TENANT).await.unwrap(), None);
    for _ in 0..2 {
        let loaded = world.store().load().await.unwrap();
        assert!(loaded.config_version > version);
        assert_eq!(loaded.tenants.iter().map(|one| one.id).collect::<Vec<_>>(), [OTHER_TENANT]);
        assert_eq!(loaded.keys.iter().map(|one| one.tenant).collect::<Vec<_>>(), [Some(OTHER_TENANT)]);
        assert!(loaded.channels.iter().all(|one| one.channel.tenant == OTHER_TENANT) && loaded.channels.len() == 2);
        let refused = world.store().accept(request(TENANT, vec![event(TENANT, &[1])])).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        world.reopen().await;
    }
    // The slug and the secret of its key are free, and nothing of the old tenant comes back with them.
    let anew = put(&world, "acme").await;
    assert!(anew > OTHER_TENANT);
    world.store().create_key(new_key(anew, 1), NOW).await.unwrap().expect("the secret is free");
    assert_eq!(all_of(&world, anew).await, (0, vec![], 0, Stats::default()));
}

/// Erases until nothing is left; how many slices that took.
async fn purge<F: Factory>(world: &World<'_, F>, rows: usize) -> usize {
    let mut slices = 0;
    while world.store().purge_slice(rows).await.unwrap() {
        slices += 1;
        assert!(slices < 20_000, "it goes round in circles");
    }
    slices
}

pub async fn a_deleted_tenant_is_erased_and_others_are_not<F: Factory>(world: World<'_, F>) {
    make_both(&world).await;
    let mine = populate(&world, TENANT).await;
    let others = populate(&world, OTHER_TENANT).await;
    assert!(!world.store().purge_slice(100).await.unwrap() && !world.store().has_purge().await.unwrap());
    let before = all_of(&world, OTHER_TENANT).await;
    world.store().delete_tenant(TENANT, NOW).await.unwrap();
    assert!(purge(&world, 100).await > 10);
    assert_eq!(all_of(&world, TENANT).await, (0, vec![], 0, Stats::default()));
    assert_eq!(all_of(&world, OTHER_TENANT).await, before);
    for arrival in &mine {
        assert_eq!(world.store().event(TENANT, arrival.event.id).await.unwrap().map(|_| ()), None);
        assert_eq!(world.store().delivery(TENANT, arrival.delivery).await.unwrap(), None);
    }
    assert_eq!(world.waiting(mine[60].channel.0).await, []);
    assert_eq!(world.waiting(others[60].channel.0).await, [others[60].delivery]);
    // The other's fan-out goes on.
    while world.store().expand(50).await.unwrap() {}
    let wide = others[1].event.id;
    let made = world.store().deliveries_of(OTHER_TENANT, wide, DeliveryId(0), 2000).await.unwrap();
    assert_eq!(made.len(), 1007);
}

pub async fn what_comes_late_for_a_deleted_tenant_is_nothing<F: Factory>(world: World<'_, F>) {
    make_both(&world).await;
    let mine = populate(&world, TENANT).await;
    world.store().delete_tenant(TENANT, NOW).await.unwrap();
    for arrival in &mine[60..70] {
        assert!(world.store().purge_slice(37).await.unwrap());
        world.settle(sent(arrival)).await;
        world.store().expand(2).await.unwrap();
        let _ = world.store().retry(TENANT, mine[1].delivery, EXPIRES_AT).await.unwrap();
    }
    purge(&world, 37).await;
    for arrival in &mine[60..] {
        world.settle(sent(arrival)).await;
    }
    assert_eq!(world.store().retry(TENANT, mine[1].delivery, EXPIRES_AT).await.unwrap(), None);
    let refused = world.store().accept(request(TENANT, vec![event(TENANT, &[1])])).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert!(world.store().create_key(new_key(TENANT, 9), NOW).await.is_err());
    assert_eq!(all_of(&world, TENANT).await, (0, vec![], 0, Stats::default()));
    // History goes on in the segments that are left, whatever they lost.
    let more = populate(&world, OTHER_TENANT).await;
    assert!(more[0].event.id > mine[0].event.id);
    assert_eq!(all_of(&world, OTHER_TENANT).await.0, 3);
}

pub async fn erasing_goes_on_after_a_reopen<F: Factory>(mut world: World<'_, F>) {
    make_both(&world).await;
    populate(&world, TENANT).await;
    populate(&world, OTHER_TENANT).await;
    let before = all_of(&world, OTHER_TENANT).await;
    world.store().delete_tenant(TENANT, NOW).await.unwrap();
    let mut reopened = 0;
    'erased: loop {
        for _ in 0..3 {
            if !world.store().purge_slice(200).await.unwrap() {
                break 'erased;
            }
        }
        world.reopen().await;
        reopened += 1;
        assert!(world.store().has_purge().await.unwrap());
        assert!(reopened < 1000, "it goes round in circles");
    }
    assert!(reopened > 3 && !world.store().has_purge().await.unwrap());
    assert_eq!(all_of(&world, TENANT).await, (0, vec![], 0, Stats::default()));
    assert_eq!(all_of(&world, OTHER_TENANT).await, before);
    world.store().delete_tenant(OTHER_TENANT, NOW).await.unwrap();
    purge(&world, 1000).await;
    assert_eq!(all_of(&world, OTHER_TENANT).await, (0, vec![], 0, Stats::default()));
    assert!(world.store().waiting_channels().await.unwrap().is_empty());
    // An empty database, which works.
    let third = put(&world, "acme").await;
    let kept = world.post(third, &[5]).await;
    assert!(kept.id > EventId(3));
    assert_eq!(world.waiting(5).await.len(), 1);
    assert_eq!(kept.deliveries[0].1, ChannelId(5));
}
