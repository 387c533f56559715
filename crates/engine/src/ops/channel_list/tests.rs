//! Pages against what a sort of everything gives, after whatever happened to the channels.

use std::collections::BTreeMap;

use domain::channel::{Channel, ChannelSettings};
use domain::routing::ConfigVersion;
use domain::{Secret, Timestamp};
use proptest::prelude::*;
use store::directory::ChannelWithRoutes;

use super::*;
use crate::registry::Registry;

/// What happens to channels, in terms of ids from 0.
#[derive(Clone, Debug)]
enum Change {
    Put(i64, Seen),
    Remove(i64),
    RemoveTenant(i64),
}

/// What a list goes by.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    provider: &'static str,
    is_active: bool,
    is_managed: bool,
    created_at: i64,
    updated_at: Option<i64>,
}

const TENANTS: i64 = 2;

/// A channel stays its tenant's.
fn tenant_of(id: i64) -> TenantId {
    TenantId(1 + id % TENANTS)
}

fn channel(id: i64, seen: &Seen) -> Channel {
    let config = match seen.provider {
        "webhook" => r#"{"url": "https://example.com/"}"#,
        _ => r#"{"webhook_url": "https://example.com/"}"#,
    };
    let settings = ChannelSettings {
        is_active: seen.is_active,
        is_managed: seen.is_managed,
        ..ChannelSettings::new(seen.name.clone(), seen.provider.to_owned(), Secret::new(config.to_owned()))
    };
    Channel {
        id: ChannelId(id + 1),
        tenant: tenant_of(id),
        settings,
        pause: None,
        created_at: Timestamp::from_ms(seen.created_at),
        updated_at: seen.updated_at.map(Timestamp::from_ms),
        deleted_at: None,
    }
}

/// What the registry has to know after these changes.
fn changed(registry: &Registry, changes: Vec<Change>) -> BTreeMap<i64, Seen> {
    let mut model = BTreeMap::new();
    for change in changes {
        match change {
            Change::Put(id, seen) => {
                let channel = channel(id, &seen);
                let config_version = ConfigVersion::default();
                let stored = ChannelWithRoutes { channel, subscriptions: Vec::new(), config_version };
                registry.put_channel(stored).unwrap();
                model.insert(id, seen);
            }
            Change::Remove(id) => {
                registry.remove_channel(ChannelId(id + 1), ConfigVersion::default());
                model.remove(&id);
            }
            Change::RemoveTenant(tenant) => {
                let tenant = TenantId(1 + tenant);
                let is_gone = |id: &i64| tenant_of(*id) == tenant;
                let gone: Vec<_> = model.keys().filter(|id| is_gone(id)).map(|id| ChannelId(*id + 1)).collect();
                assert_eq!(registry.remove_tenant(tenant), gone);
                model.retain(|id, _| !is_gone(id));
            }
        }
    }
    model
}

/// Ids of the page, and the total: everything sorted, then cut.
fn naive(model: &BTreeMap<i64, Seen>, tenant: TenantId, query: &ChannelPageQuery) -> (Vec<ChannelId>, usize) {
    let filter = &query.filter;
    let mut rows: Vec<(i64, &Seen)> = model.iter().map(|(id, seen)| (*id, seen)).collect();
    rows.retain(|(id, seen)| {
        tenant_of(*id) == tenant
            && filter.provider.as_ref().is_none_or(|provider| seen.provider == provider)
            && filter.among.is_none_or(|names| names.contains(&seen.provider))
            && filter.is_active.is_none_or(|is_active| seen.is_active == is_active)
            && !(filter.hides_managed && seen.is_managed)
    });
    match query.order.by {
        OrderBy::Id => {}
        OrderBy::Name => rows.sort_by_key(|(_, seen)| &seen.name),
        OrderBy::CreatedAt => rows.sort_by_key(|(_, seen)| seen.created_at),
        OrderBy::UpdatedAt => rows.sort_by_key(|(_, seen)| seen.updated_at),
    }
    if query.order.is_descending {
        rows.reverse();
    }
    let page = rows.iter().skip(query.skip).take(query.rows_max).map(|(id, _)| ChannelId(id + 1));
    (page.collect(), rows.len())
}

const IDS: i64 = 40;

prop_compose! {
    // Few of each, so that many are equal.
    fn seen()(
        name in prop::sample::select(vec!["", "a", "B", "b", "ä", "a name of some length", "a name of some length, too"]),
        provider in prop::sample::select(vec!["webhook", "slack", "discord"]),
        is_active: bool,
        is_managed in prop::bool::weighted(0.2),
        created_at in 0_i64..5,
        updated_at in prop::option::of(0_i64..5),
    ) -> Seen {
        Seen { name: name.to_owned(), provider, is_active, is_managed, created_at, updated_at }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        20 => (0..IDS, seen()).prop_map(|(id, seen)| Change::Put(id, seen)),
        5 => (0..IDS).prop_map(Change::Remove),
        1 => (0..TENANTS).prop_map(Change::RemoveTenant),
    ]
}

prop_compose! {
    fn query()(
        provider in prop::option::of(prop::sample::select(vec!["webhook", "slack"])),
        among in prop::option::of(prop::sample::select(vec![&["webhook"][..], &["slack", "discord"][..]])),
        is_active: Option<bool>,
        hides_managed: bool,
        by in prop::sample::select(vec![OrderBy::Id, OrderBy::Name, OrderBy::CreatedAt, OrderBy::UpdatedAt]),
        is_descending: bool,
        skip in prop_oneof![0_usize..25, Just(usize::MAX)],
        rows_max in 0_usize..10,
    ) -> ChannelPageQuery {
        let provider = provider.map(ToOwned::to_owned);
        let filter = ChannelFilter { provider, among, is_active, hides_managed, ..ChannelFilter::default() };
        ChannelPageQuery { filter, order: ChannelOrder { by, is_descending }, skip, rows_max }
    }
}

proptest! {
    #[test]
    fn a_page_is_that_of_everything_sorted(
        changes in prop::collection::vec(change(), 0..150),
        queries in prop::collection::vec(query(), 1..20),
    ) {
        let registry = Registry::of_nothing();
        let model = changed(&registry, changes);
        for tenant in (1..=TENANTS).map(TenantId) {
            for query in &queries {
                let found = registry.of_tenant(tenant, |channels| Found::among(channels, query)).unwrap_or_default();
                let ids: Vec<ChannelId> = found.rows.iter().map(|live| live.channel.id).collect();
                prop_assert_eq!((ids, found.total), naive(&model, tenant, query), "{:?}", query);
            }
        }
    }
}
