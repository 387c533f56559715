//! Tenants, keys, channels and their subscriptions.

use std::time::Duration;

use domain::breaker::{BreakerRule, Trip};
use domain::channel::{Channel, ChannelSettings, DigestRule, OnUnknown, Pause, RateLimit, RatePeriod, shard_of};
use domain::event::Severity;
use domain::event_type::{EventType, KeptEventType, Variable, VariableGroup, VariableKind};
use domain::quotas::{Quota, Quotas};
use domain::routing::{ConfigVersion, Pattern, Subscription};
use domain::schedule::Schedule;
use domain::tenant::Scope;
use domain::{ChannelId, KeyId, ReasonCode, Secret, TenantId};

use super::Factory;
use super::fixtures::{NOW, TIME_TO_LIVE, World, later, routes, settings};
use crate::directory::{
    ChannelChange, ConfigChange, DialectSettings, NewChannel, NewKey, NewRoute, NewTenant, Snapshot, SteeringChange,
};
use crate::journal::Lifetime;
use crate::{Directory as _, Journal as _, Queue as _, StoreError};

async fn load<F: Factory>(world: &World<'_, F>) -> Snapshot {
    world.store().load().await.unwrap()
}

async fn tenant<F: Factory>(world: &World<'_, F>, slug: &str) -> TenantId {
    let new = NewTenant {
        slug: slug.to_owned(),
        name: slug.to_uppercase(),
        email: None,
        providers: None,
        quotas: Quotas::default(),
    };
    world.store().put_tenant(new, NOW).await.unwrap().id
}

fn key(tenant: Option<TenantId>, hash: u8) -> NewKey {
    NewKey {
        tenant,
        name: "CI".to_owned(),
        hash: [hash; 32],
        prefix: "pr_abc".to_owned(),
        username: Some("robot".to_owned()),
        scopes: vec![Scope::EventsWrite, Scope::Inbox],
        expires_at: Some(later(5)),
    }
}

fn change(tenant: TenantId, channel: ChannelId) -> ChannelChange {
    ChannelChange { tenant, channel, settings: settings(), routes: None, resumes: false, cancels: None }
}

/// Everything about a channel; settings hold a secret and have no equality of their own.
fn shown(channel: &Channel) -> String {
    format!("{channel:?} {}", channel.settings.config.reveal())
}

fn patterns(subscriptions: &[Subscription]) -> Vec<String> {
    subscriptions.iter().map(|one| one.pattern.to_string()).collect()
}

pub async fn a_tenant_is_made_once_and_renamed<F: Factory>(world: World<'_, F>) {
    let new = NewTenant {
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        email: Some("a@acme.test".to_owned()),
        providers: None,
        quotas: Quotas::default(),
    };
    let made = world.store().put_tenant(new.clone(), NOW).await.unwrap();
    assert_eq!((made.slug.as_str(), made.name.as_str(), made.email.as_deref()), ("acme", "Acme", Some("a@acme.test")));
    assert_eq!((made.created_at, made.updated_at), (NOW, None));
    let new = NewTenant { name: "Acme Ltd".to_owned(), email: None, ..new };
    let renamed = world.store().put_tenant(new, later(9)).await.unwrap();
    assert_eq!((renamed.id, renamed.created_at, renamed.updated_at), (made.id, NOW, Some(later(9))));
    assert_eq!((renamed.name.as_str(), renamed.email.as_deref()), ("Acme Ltd", None));
    assert_ne!(tenant(&world, "other").await, made.id);
    assert_eq!(load(&world).await.tenants[0], renamed);
}

pub async fn the_providers_of_a_tenant_are_kept<F: Factory>(mut world: World<'_, F>) {
    let put = async |world: &World<'_, F>, slug: &str, providers: Option<&[&str]>| {
        let providers = providers.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let new = NewTenant {
            slug: slug.to_owned(),
            name: slug.to_owned(),
            email: None,
            providers,
            quotas: Quotas::default(),
        };
        world.store().put_tenant(new, NOW).await.unwrap().providers
    };
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(put(&world, "some", Some(&["slack", "email"])).await, names(&["slack", "email"]));
    assert_eq!(put(&world, "none", Some(&[])).await, names(&[]));
    assert_eq!(put(&world, "all", None).await, None);
    let id = load(&world).await.tenants[0].id;
    let suspended = world.store().suspend_tenant(id, NOW).await.unwrap().unwrap();
    assert_eq!(suspended.providers, names(&["slack", "email"]));
    assert_eq!(world.store().resume_tenant(id).await.unwrap().unwrap().providers, suspended.providers);
    world.reopen().await;
    let kept: Vec<_> = load(&world).await.tenants.into_iter().map(|tenant| tenant.providers).collect();
    assert_eq!(kept, [names(&["slack", "email"]), names(&[]), None]);
    assert_eq!(put(&world, "some", Some(&["x"])).await, names(&["x"]));
    assert_eq!(put(&world, "some", None).await, None);
}

pub async fn the_quotas_of_a_tenant_are_kept<F: Factory>(mut world: World<'_, F>) {
    let put = async |world: &World<'_, F>, quotas: Quotas| {
        let (slug, name) = ("acme".to_owned(), "Acme".to_owned());
        let new = NewTenant { slug, name, email: None, providers: None, quotas };
        world.store().put_tenant(new, NOW).await.unwrap().quotas
    };
    let some = Quotas::default().with(Quota::EventsPerDay, Some(1_000_000)).with(Quota::Channels, Some(0));
    let other = Quotas::default().with(Quota::EventsPerDay, Some(7)).with(Quota::DeliveriesWaiting, Some(9));
    assert_eq!(put(&world, some).await, some);
    assert_eq!(put(&world, other).await, other, "what is not set any more is gone");
    world.reopen().await;
    assert_eq!(load(&world).await.tenants[0].quotas, other);
    assert_eq!(put(&world, Quotas::default()).await, Quotas::default());
}

pub async fn keys_are_made_and_revoked<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let store = world.store();
    let mine = store.create_key(key(Some(acme), 1), NOW).await.unwrap().unwrap();
    let platform = NewKey { scopes: vec![Scope::Platform], username: None, expires_at: None, ..key(None, 2) };
    let platform = store.create_key(platform, NOW).await.unwrap().unwrap();
    assert_eq!((mine.tenant, mine.hash, mine.created_at), (Some(acme), [1; 32], NOW));
    assert_eq!(mine.scopes, [Scope::EventsWrite, Scope::Inbox]);
    assert_eq!(load(&world).await.keys, [mine.clone(), platform.clone()]);
    for (tenant, id) in [(Some(other), mine.id), (None, mine.id), (Some(acme), platform.id), (None, KeyId(99))] {
        assert!(!store.revoke_key(tenant, id, NOW).await.unwrap());
    }
    assert!(store.revoke_key(Some(acme), mine.id, NOW).await.unwrap());
    assert!(!store.revoke_key(Some(acme), mine.id, NOW).await.unwrap());
    assert_eq!(load(&world).await.keys, std::slice::from_ref(&platform));
    assert!(store.revoke_key(None, platform.id, NOW).await.unwrap());
    assert_eq!(load(&world).await.keys, []);
}

pub async fn a_secret_is_in_use_once<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let mine = world.store().create_key(key(Some(acme), 1), NOW).await.unwrap().unwrap();
    for tenant in [Some(acme), Some(other), None] {
        assert_eq!(world.store().create_key(key(tenant, 1), NOW).await.unwrap(), None);
    }
    // A revoked secret never comes back to life.
    world.store().revoke_key(Some(acme), mine.id, NOW).await.unwrap();
    assert_eq!(world.store().create_key(key(Some(acme), 1), NOW).await.unwrap(), None);
}

pub async fn a_channel_keeps_its_settings<F: Factory>(world: World<'_, F>) {
    let acme = tenant(&world, "acme").await;
    let full = ChannelSettings {
        name: "Büro".to_owned(),
        provider: "telegram".to_owned(),
        config: Secret::new("{\"token\":\"1:x\"}"),
        is_active: false,
        subject_template: Some("{{ x }}".to_owned()),
        body_template: Some(String::new()),
        retry: Some(Schedule::new(vec![Duration::ZERO, Duration::from_millis(1500)]).unwrap()),
        time_to_live: Some(TIME_TO_LIVE),
        concurrency: 3,
        breaker: Some(BreakerRule { failures: 3, ..BreakerRule::default() }),
        rate_limit: Some(RateLimit { count: 20, per: RatePeriod::Minute, burst: Some(5) }),
        digest: Some(DigestRule {
            is_enabled: true,
            window: Duration::from_secs(90),
            items_max: 50,
            immediate_from: Some(Severity::Critical),
            group_by: Some("stream_name".to_owned()),
        }),
        is_fifo: true,
        on_unknown: OnUnknown::GiveUp,
        dialect: Some("lenz".to_owned()),
        wire_config: Some(Secret::new("{\"bot_token\":\"1:x\"}")),
        is_managed: true,
        shard: 200,
    };
    for settings in [full, settings()] {
        let filter = NewRoute { filter: Some("amount > 5".into()), ..routes(&["invoice.*"]).remove(0) };
        let routes = vec![routes(&["*"]).remove(0), filter];
        let new = NewChannel { tenant: acme, settings, derives_shard: false, routes };
        let made = world.store().create_channel(new.clone(), NOW).await.unwrap();
        assert_eq!(format!("{:?}", made.channel.settings), format!("{:?}", new.settings));
        assert_eq!((made.channel.created_at, &made.channel.pause, made.channel.updated_at), (NOW, &None, None));
        assert_eq!(patterns(&made.subscriptions), ["*", "invoice.*"]);
        assert_eq!(made.subscriptions[1].filter.as_deref(), Some("amount > 5"));
        let loaded = load(&world).await.channels.pop().unwrap();
        assert_eq!(shown(&loaded.channel), shown(&made.channel));
        assert_eq!(loaded.channel.settings.config.reveal(), new.settings.config.reveal());
        let wire_config = |settings: &ChannelSettings| settings.wire_config.as_ref().map(|one| one.reveal().to_owned());
        assert_eq!(wire_config(&loaded.channel.settings), wire_config(&new.settings));
        assert_eq!(format!("{:?}", loaded.subscriptions), format!("{:?}", made.subscriptions));
        assert_eq!(loaded.config_version, made.config_version);
    }
    let foreign = NewChannel { tenant: TenantId(99), settings: settings(), derives_shard: true, routes: vec![] };
    assert!(matches!(world.store().create_channel(foreign, NOW).await, Err(StoreError::Refused(_))));
}

pub async fn the_shard_is_derived_or_taken<F: Factory>(world: World<'_, F>) {
    let acme = tenant(&world, "acme").await;
    for derives_shard in [true, false] {
        let settings = ChannelSettings { shard: 77, ..settings() };
        let new = NewChannel { tenant: acme, settings, derives_shard, routes: vec![] };
        let made = world.store().create_channel(new, NOW).await.unwrap().channel;
        let expected = if derives_shard { shard_of(&made.id.0.to_be_bytes()) } else { 77 };
        assert_eq!(made.settings.shard, expected);
    }
    let loaded = load(&world).await.channels;
    assert_eq!(loaded.iter().filter(|one| one.channel.settings.shard == 77).count(), 1);
}

pub async fn a_change_replaces_settings_and_routes<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let made = world.create_channel(acme, &["a", "b.*"]).await;
    let id = made.channel.id;
    let store = world.store();
    let settings = ChannelSettings {
        name: "New".to_owned(),
        config: Secret::new("{\"url\":\"https://new.example.com\"}"),
        shard: 9,
        dialect: Some("altum".to_owned()),
        ..settings()
    };
    let kept_routes = ChannelChange { settings: settings.clone(), ..change(acme, id) };
    let changed = store.update_channel(kept_routes, later(5)).await.unwrap().unwrap();
    assert_eq!(changed.cancelled_up_to, None);
    assert_eq!(format!("{:?}", changed.after.channel.settings), format!("{settings:?}"));
    assert_eq!(changed.after.channel.settings.config.reveal(), settings.config.reveal());
    assert_eq!((changed.after.channel.created_at, changed.after.channel.updated_at), (NOW, Some(later(5))));
    assert_eq!(format!("{:?}", changed.after.subscriptions), format!("{:?}", made.subscriptions));
    let new_routes = ChannelChange { settings, routes: Some(routes(&["c", "*"])), ..change(acme, id) };
    let changed = store.update_channel(new_routes, later(6)).await.unwrap().unwrap();
    assert_eq!(patterns(&changed.after.subscriptions), ["c", "*"]);
    assert!(changed.after.subscriptions.iter().all(|one| one.valid_from == changed.after.config_version));
    let loaded = load(&world).await.channels.remove(0);
    assert_eq!(shown(&loaded.channel), shown(&changed.after.channel));
    assert_eq!(patterns(&loaded.subscriptions), ["c", "*"]);
    for missing in [change(other, id), change(acme, ChannelId(99))] {
        assert!(store.update_channel(missing, NOW).await.unwrap().is_none());
    }
}

pub async fn past_subscriptions_stay_known<F: Factory>(world: World<'_, F>) {
    let acme = tenant(&world, "acme").await;
    let before = load(&world).await.config_version;
    let made = world.create_channel(acme, &["a"]).await;
    let id = made.channel.id;
    let store = world.store();
    let update = |patterns: &[&str]| ChannelChange { routes: Some(routes(patterns)), ..change(acme, id) };
    let second = store.update_channel(update(&["b", "c"]), NOW).await.unwrap().unwrap().after.config_version;
    let third = store.update_channel(change(acme, id), NOW).await.unwrap().unwrap().after.config_version;
    let fourth = store.update_channel(update(&[]), NOW).await.unwrap().unwrap().after.config_version;
    let fifth = store.update_channel(update(&["d"]), NOW).await.unwrap().unwrap().after.config_version;
    let deleted = store.delete_channel(acme, id, NOW).await.unwrap().unwrap().after.config_version;
    let first = made.config_version;
    for (version, expected) in [
        (before, vec![]),
        (first, vec!["a"]),
        (second, vec!["b", "c"]),
        (third, vec!["b", "c"]),
        (fourth, vec![]),
        (fifth, vec!["d"]),
        (deleted, vec![]),
        (ConfigVersion(deleted.0 + 5), vec![]),
    ] {
        let valid = store.subscriptions_at(acme, id, version).await.unwrap();
        assert_eq!(patterns(&valid), expected, "{version:?}");
        assert!(valid.iter().all(|one| one.is_valid_at(version)));
    }
}

pub async fn a_deleted_channel_is_gone_and_what_waits_is_cancelled<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let id = world.create_channel(acme, &["*"]).await.channel.id;
    let arrivals = world.post_each(acme, id.0, 2).await;
    let store = world.store();
    assert!(store.delete_channel(other, id, NOW).await.unwrap().is_none());
    let gone = store.delete_channel(acme, id, later(7)).await.unwrap().unwrap();
    assert_eq!(gone.cancelled_up_to, Some(arrivals[1].delivery));
    assert_eq!(gone.after.channel.deleted_at, Some(later(7)));
    let lifetime = Lifetime { created_at: NOW, deleted_at: Some(later(7)) };
    assert_eq!(store.lifetime(acme, id).await.unwrap(), Some(lifetime));
    assert_eq!(store.lifetime(other, id).await.unwrap(), None);
    assert!(gone.after.subscriptions.is_empty());
    assert!(load(&world).await.channels.is_empty());
    assert!(store.delete_channel(acme, id, NOW).await.unwrap().is_none());
    assert!(store.update_channel(change(acme, id), NOW).await.unwrap().is_none());
    assert!(
        !store
            .pause_channel(id, Pause { code: ReasonCode::ChannelRefused, reason: "x".to_owned(), since: NOW })
            .await
            .unwrap()
    );
    let orders = store.cancellations().await.unwrap();
    assert_eq!((orders[0].channel, orders[0].up_to, orders.len()), (id, arrivals[1].delivery, 1));
    assert!(!store.cancel_slice(id, vec![], NOW, 10).await.unwrap());
    assert_eq!(world.waiting(id.0).await, []);
}

pub async fn a_pause_lasts_until_it_is_resumed<F: Factory>(world: World<'_, F>) {
    let acme = tenant(&world, "acme").await;
    let id = world.create_channel(acme, &["*"]).await.channel.id;
    let store = world.store();
    let pause = Pause { code: ReasonCode::ChannelRefused, reason: "401 Unauthorized".to_owned(), since: later(3) };
    assert!(store.pause_channel(id, pause.clone()).await.unwrap());
    let second = Pause { code: ReasonCode::ChannelRefused, reason: "another".to_owned(), since: later(4) };
    assert!(!store.pause_channel(id, second.clone()).await.unwrap());
    assert!(!store.pause_channel(ChannelId(99), second.clone()).await.unwrap());
    let kept = store.update_channel(change(acme, id), NOW).await.unwrap().unwrap();
    assert_eq!(kept.after.channel.pause, Some(pause.clone()));
    assert_eq!(load(&world).await.channels[0].channel.pause, Some(pause));
    let resumes = ChannelChange { resumes: true, ..change(acme, id) };
    let resumed = store.update_channel(resumes, NOW).await.unwrap().unwrap();
    assert_eq!(resumed.after.channel.pause, None);
    assert!(store.pause_channel(id, second.clone()).await.unwrap());
    assert_eq!(load(&world).await.channels[0].channel.pause, Some(second));
}

pub async fn a_trip_lasts_until_it_is_over_or_the_channel_changes<F: Factory>(mut world: World<'_, F>) {
    let acme = tenant(&world, "acme").await;
    let id = world.create_channel(acme, &["*"]).await.channel.id;
    let other = world.create_channel(acme, &["*"]).await.channel.id;
    // When it may probe is not kept.
    let trip = Trip { code: ReasonCode::NotReached, reason: "refused".to_owned(), since: later(3), probe_at: later(3) };
    world.store().trip_channel(id, Some(trip.clone())).await.unwrap();
    world.store().trip_channel(other, Some(trip.clone())).await.unwrap();
    assert_eq!(world.store().tripped_channels().await.unwrap(), [(id, trip.clone()), (other, trip.clone())]);
    world.store().trip_channel(other, None).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store().tripped_channels().await.unwrap(), [(id, trip.clone())]);
    world.store().update_channel(change(acme, id), NOW).await.unwrap().unwrap();
    assert_eq!(world.store().tripped_channels().await.unwrap(), []);
    world.store().trip_channel(id, Some(trip.clone())).await.unwrap();
    world.store().delete_channel(acme, id, NOW).await.unwrap().unwrap();
    assert_eq!(world.store().tripped_channels().await.unwrap(), []);
}

pub async fn a_config_is_replaced_only_where_it_is_as_before<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let id = world.create_channel(acme, &["*"]).await.channel.id;
    let store = world.store();
    let worded = ChannelSettings { wire_config: Some(Secret::new("{}")), ..settings() };
    let change = ChannelChange { settings: worded, ..change(acme, id) };
    let before = store.update_channel(change, NOW).await.unwrap().unwrap().after.channel.settings.config;
    let after = Secret::new(r#"{"moved": true}"#);
    let replace = |tenant, before: &Secret| {
        let (before, after) = (before.clone(), after.clone());
        store.replace_config(ConfigChange { tenant, channel: id, before, after }, later(9))
    };
    assert!(!replace(other, &before).await.unwrap());
    assert!(!replace(acme, &Secret::new("{}")).await.unwrap(), "its owner has changed it");
    let version = load(&world).await.config_version;
    assert!(replace(acme, &before).await.unwrap());
    let loaded = load(&world).await;
    let channel = &loaded.channels[0].channel;
    assert_eq!(channel.settings.config.reveal(), after.reveal());
    assert!(channel.settings.wire_config.is_none());
    assert_eq!(channel.updated_at, Some(later(9)));
    assert!(loaded.config_version > version);
    assert!(!replace(acme, &before).await.unwrap(), "it has moved already");
}

pub async fn every_change_raises_the_version<F: Factory>(world: World<'_, F>) {
    let store = world.store();
    let mut last = load(&world).await.config_version;
    let mut check = |snapshot: Snapshot, rises: bool, what: &str| {
        assert_eq!(snapshot.config_version > last, rises, "{what}");
        last = snapshot.config_version;
    };
    let acme = tenant(&world, "acme").await;
    check(load(&world).await, true, "a tenant");
    let made = store.create_key(key(Some(acme), 1), NOW).await.unwrap().unwrap();
    check(load(&world).await, true, "a key");
    store.create_key(key(Some(acme), 1), NOW).await.unwrap();
    check(load(&world).await, false, "a key that was refused");
    store.revoke_key(Some(acme), made.id, NOW).await.unwrap();
    check(load(&world).await, true, "a revoked key");
    store.revoke_key(Some(acme), made.id, NOW).await.unwrap();
    check(load(&world).await, false, "a key revoked before");
    let created = world.create_channel(acme, &["*"]).await;
    assert_eq!(created.config_version, load(&world).await.config_version);
    check(load(&world).await, true, "a channel");
    let id = created.channel.id;
    store.update_channel(change(acme, id), NOW).await.unwrap();
    check(load(&world).await, true, "a changed channel");
    store.update_channel(change(acme, ChannelId(99)), NOW).await.unwrap();
    check(load(&world).await, false, "no channel");
    let pause = Pause { code: ReasonCode::ChannelRefused, reason: "x".to_owned(), since: NOW };
    store.pause_channel(id, pause.clone()).await.unwrap();
    check(load(&world).await, true, "a pause");
    store.pause_channel(id, pause).await.unwrap();
    check(load(&world).await, false, "a pause of what is paused");
    store.delete_channel(acme, id, NOW).await.unwrap();
    check(load(&world).await, true, "a deleted channel");
    world.post(acme, &[1]).await;
    check(load(&world).await, false, "an event");
}

pub async fn tenants_do_not_see_each_other<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let mine = world.create_channel(acme, &["*"]).await;
    let theirs = world.create_channel(other, &["x"]).await;
    let version = theirs.config_version;
    let read = world.store().subscriptions_at(other, mine.channel.id, version).await.unwrap();
    assert!(read.is_empty());
    assert!(world.store().update_channel(change(other, mine.channel.id), NOW).await.unwrap().is_none());
    assert!(world.store().delete_channel(other, mine.channel.id, NOW).await.unwrap().is_none());
    let loaded = load(&world).await.channels;
    assert_eq!(loaded.iter().map(|one| one.channel.tenant).collect::<Vec<_>>(), [acme, other]);
    assert_eq!(shown(&loaded[0].channel), shown(&mine.channel));
}

pub async fn the_directory_survives_a_reopen<F: Factory>(mut world: World<'_, F>) {
    let acme = tenant(&world, "acme").await;
    world.store().create_key(key(Some(acme), 1), NOW).await.unwrap();
    let id = world.create_channel(acme, &["a", "b.*"]).await.channel.id;
    world
        .store()
        .pause_channel(id, Pause { code: ReasonCode::ChannelRefused, reason: "x".to_owned(), since: NOW })
        .await
        .unwrap();
    let before = load(&world).await;
    assert!(!before.instance.is_empty());
    world.reopen().await;
    assert_eq!(format!("{:?}", load(&world).await), format!("{before:?}"));
    let next = world.create_channel(acme, &[]).await;
    assert!(next.channel.id > id && next.config_version > before.config_version);
}

pub async fn subscriptions_come_and_go_one_by_one<F: Factory>(world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let made = world.create_channel(acme, &["a", "b"]).await;
    let (id, first) = (made.channel.id, made.subscriptions[0].id);
    let store = world.store();
    let route = || NewRoute { pattern: Pattern::parse("c.*").unwrap(), filter: Some("x > 1".into()) };
    for (tenant, channel) in [(other, id), (acme, ChannelId(99))] {
        assert!(store.add_subscription(tenant, channel, route()).await.unwrap().is_none());
    }
    let added = store.add_subscription(acme, id, route()).await.unwrap().unwrap();
    assert_eq!(patterns(&added.subscriptions), ["a", "b", "c.*"]);
    let newest = added.subscriptions.last().unwrap();
    assert_eq!((newest.filter.as_deref(), newest.valid_from), (Some("x > 1"), added.config_version));
    assert_eq!(added.subscriptions[0].id, first);

    assert!(store.end_subscription(other, first).await.unwrap().is_none());
    let ended = store.end_subscription(acme, first).await.unwrap().unwrap();
    assert_eq!((ended.channel.id, patterns(&ended.subscriptions)), (id, vec!["b".to_owned(), "c.*".to_owned()]));
    assert!(store.end_subscription(acme, first).await.unwrap().is_none());
    // What was valid before stays known.
    for (version, expected) in [
        (made.config_version, vec!["a", "b"]),
        (added.config_version, vec!["a", "b", "c.*"]),
        (ended.config_version, vec!["b", "c.*"]),
    ] {
        assert_eq!(patterns(&store.subscriptions_at(acme, id, version).await.unwrap()), expected);
    }
    assert_eq!(patterns(&load(&world).await.channels[0].subscriptions), ["b", "c.*"]);
}

pub async fn event_types_are_described_and_forgotten<F: Factory>(mut world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let variable = |key: &str, kind| Variable {
        key: key.to_owned(),
        description: "what it is".to_owned(),
        kind,
        example: "12".to_owned(),
    };
    let group = VariableGroup {
        name: "Money".to_owned(),
        variables: vec![variable("amount", VariableKind::Number), variable("customer.name", VariableKind::String)],
    };
    let described = EventType {
        name: "invoice.paid".to_owned(),
        label: "Invoice paid".to_owned(),
        description: "An invoice was paid".to_owned(),
        groups: vec![group],
    };
    let store = world.store();
    let kept = store.put_event_type(acme, described.clone(), NOW).await.unwrap();
    assert_eq!((kept.tenant, &kept.event_type, kept.created_at, kept.updated_at), (acme, &described, NOW, None));
    let bare = EventType { label: "Paid".to_owned(), groups: Vec::new(), ..described.clone() };
    let theirs = store.put_event_type(other, bare.clone(), NOW).await.unwrap();
    let again = store.put_event_type(acme, bare.clone(), later(5)).await.unwrap();
    assert_eq!((&again.event_type, again.created_at, again.updated_at), (&bare, NOW, Some(later(5))));
    store.put_event_type(acme, EventType { name: "a".to_owned(), ..described.clone() }, NOW).await.unwrap();

    world.reopen().await;
    let names = |snapshot: &Snapshot| {
        let name = |kept: &KeptEventType| (kept.tenant, kept.event_type.name.clone());
        snapshot.event_types.iter().map(name).collect::<Vec<_>>()
    };
    let loaded = load(&world).await;
    let paid = || "invoice.paid".to_owned();
    assert_eq!(names(&loaded), [(acme, "a".to_owned()), (acme, paid()), (other, paid())]);
    assert_eq!((&loaded.event_types[0].event_type.groups, &loaded.event_types[2]), (&described.groups, &theirs));
    let store = world.store();
    assert!(store.delete_event_type(acme, paid()).await.unwrap());
    assert!(!store.delete_event_type(acme, paid()).await.unwrap());
    assert_eq!(names(&load(&world).await), [(acme, "a".to_owned()), (other, paid())]);
}

pub async fn settings_of_a_dialect_are_kept_with_the_channels_that_they_steer<F: Factory>(mut world: World<'_, F>) {
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let change_to = |text: &str| SteeringChange {
        settings: DialectSettings { tenant: acme, dialect: "aether".to_owned(), settings: Secret::new(text) },
        makes: Vec::new(),
        changes: Vec::new(),
        deletes: Vec::new(),
    };
    let new = NewChannel { tenant: acme, settings: settings(), derives_shard: true, routes: routes(&["a"]) };
    let first = SteeringChange { makes: vec![new.clone(), new.clone()], ..change_to("{\"a\":1}") };
    let made = world.store().put_dialect_settings(first, NOW).await.unwrap().made;
    let ids: Vec<ChannelId> = made.iter().map(|one| one.channel.id).collect();
    assert_eq!((ids.len(), patterns(&made[0].subscriptions)), (2, vec!["a".to_owned()]));

    let before = load(&world).await.config_version;
    let second = SteeringChange {
        changes: vec![
            ChannelChange { routes: Some(routes(&["b"])), ..change(acme, ids[0]) },
            change(acme, ChannelId(999)),
            change(other, ids[0]),
        ],
        deletes: vec![ids[1], ChannelId(999)],
        ..change_to("{\"a\":2}")
    };
    let steered = world.store().put_dialect_settings(second, later(1)).await.unwrap();
    assert_eq!((steered.made.len(), steered.changed.len(), steered.deleted.len()), (0, 1, 1));
    assert_eq!(patterns(&steered.changed[0].after.subscriptions), ["b"]);
    assert_eq!((steered.deleted[0].after.channel.id, steered.deleted[0].cancelled_up_to.is_some()), (ids[1], true));
    world
        .store()
        .put_dialect_settings(
            SteeringChange { settings: DialectSettings { tenant: other, ..change_to("{}").settings }, ..change_to("") },
            NOW,
        )
        .await
        .unwrap();

    world.reopen().await;
    let loaded = load(&world).await;
    assert!(loaded.config_version > before);
    let set: Vec<_> =
        loaded.dialect_settings.iter().map(|one| (one.tenant, one.dialect.as_str(), one.settings.reveal())).collect();
    assert_eq!(set, [(acme, "aether", "{\"a\":2}"), (other, "aether", "{}")]);
    assert_eq!(loaded.channels.iter().map(|one| one.channel.id).collect::<Vec<_>>(), [ids[0]]);
    world.store().delete_tenant(acme, NOW).await.unwrap();
    assert_eq!(load(&world).await.dialect_settings.len(), 1);
}
