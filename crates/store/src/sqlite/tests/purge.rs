//! Erasing a tenant, looked at table by table: a table that nobody thought of is found here.

use std::collections::BTreeMap;

use domain::TenantId;
use domain::quotas::Quotas;
use domain::tenant::Scope;
use rusqlite::Connection;

use super::{OneDirectory, Stepped};
use crate::conformance::fixtures::{EXPIRES_AT, NOW, dead, event, key, request, retrying, routes, sent, settings};
use crate::directory::{ChannelChange, NewChannel, NewKey, NewTenant};
use crate::queue::{AcceptEvent, Arrival};
use crate::sqlite::segments::entries_of;
use crate::{Directory as _, Queue as _};

/// Tables whose rows belong to no tenant, or to an event that does.
const WITHOUT_TENANT: [&str; 5] = ["sequences", "segments", "expanded", "tenants", "refinery_schema_history"];

/// Look-ups, and the rows that an entry speaks of: ?1 is the segment, ?2 what is sought, ?3 the id.
const LOOKUPS: [(&str, &str); 6] = [
    ("events_by_tenant", "events WHERE ?1 > 0 AND tenant_id = ?2 AND id = ?3"),
    ("settled_by_tenant", "settled WHERE segment = ?1 AND tenant_id = ?2 AND id = ?3"),
    ("settled_by_channel", "settled WHERE segment = ?1 AND channel_id = ?2 AND id = ?3"),
    ("attempts_by_delivery", "attempts WHERE ?1 > 0 AND delivery_id = ?2 AND id = ?3"),
    ("attempts_by_channel", "attempts WHERE ?1 > 0 AND channel_id = ?2 AND id = ?3"),
    ("attempts_by_tenant", "attempts WHERE ?1 > 0 AND tenant_id = ?2 AND id = ?3"),
];

/// How many entries the look-ups have, and how many of them speak of nothing.
fn look_ups(connection: &Connection) -> (usize, usize) {
    let (mut all, mut stale) = (0, 0);
    for (table, rows) in LOOKUPS {
        let speaks = format!("SELECT EXISTS (SELECT 1 FROM {rows})");
        for entry in entries_of(connection, table) {
            all += 1;
            stale += usize::from(!connection.query_row::<bool, _, _>(&speaks, entry, |row| row.get(0)).unwrap());
        }
    }
    (all, stale)
}

/// Fills every table for a tenant, by the store where it writes them and by hand where nothing does yet.
fn fill(stepped: &Stepped, tenant: TenantId) {
    let store = &stepped.store;
    let key_of_tenant = NewKey {
        tenant: Some(tenant),
        name: "K".to_owned(),
        hash: [u8::try_from(tenant.0).unwrap(); 32],
        prefix: "pk".to_owned(),
        username: None,
        scopes: vec![Scope::Inbox],
        expires_at: None,
    };
    stepped.run(store.create_key(key_of_tenant, NOW)).unwrap();
    let new = NewChannel { tenant, settings: settings(), derives_shard: true, routes: routes(&["*"]) };
    let channel = stepped.run(store.create_channel(new, NOW)).unwrap().channel.id;
    let wide: Vec<_> = (1000 * tenant.0..1000 * tenant.0 + 1005).collect();
    let keyed = AcceptEvent { key: Some(key(1, 1)), ..event(tenant, &[channel.0]) };
    stepped.run(store.accept(request(tenant, vec![keyed, event(tenant, &wide)]))).unwrap();
    let ends = [sent, dead, |arrival: &Arrival| retrying(arrival, EXPIRES_AT)];
    let heard = stepped.heard();
    for batch in heard[..24].chunks(4) {
        let settlements = batch.iter().zip(ends.iter().cycle()).map(|(arrival, end)| end(arrival)).collect();
        stepped.run(store.settle(settlements)).unwrap();
    }
    let change = ChannelChange {
        tenant,
        channel,
        settings: settings(),
        routes: None,
        resumes: false,
        cancels: Some("off".to_owned()),
    };
    stepped.run(store.update_channel(change, NOW)).unwrap();
    let (tenant, channel, event) = (tenant.0, channel.0, heard[1].event.id.0);
    let kept = 1_000_000 + tenant;
    let by_hand = format!(
        "INSERT INTO digests (tenant_id, channel_id, group_key, opened_at, closes_at) VALUES ({tenant}, {channel}, '', 1, 2);
         INSERT INTO expanded VALUES ({event}, 1000000, x'');
         INSERT INTO event_types (tenant_id, type, label, description, created_at) VALUES ({tenant}, 'a', '', '', 1);
         INSERT INTO dialect_settings VALUES ({tenant}, 'd', x'01', 1);
         INSERT INTO kept_events (id, tenant_id, type, data, occurred_at, accepted_at, config_version, first_delivery,
                                  channels, skipped, skipped_more)
         VALUES ({kept}, {tenant}, 'a', '{{}}', 1, 1, 1, 1, x'', x'', 0);
         INSERT INTO expanded VALUES ({kept}, 2000000, x'');
         INSERT INTO redrives (tenant_id, source, wanted, pace, progress, up_to, created_at)
         VALUES ({tenant}, 'dead', '{{}}', 1, 'running', 1, 1);
         INSERT INTO inbox VALUES ({tenant}, 1, {channel}, 1, 'r', 'c', 1, NULL);
         INSERT INTO idempotency_even VALUES ({tenant}, x'01', x'01', 1, 1, 1);
         INSERT INTO idempotency_odd VALUES ({tenant}, x'01', x'01', 1, 1, 1);"
    );
    store.with_writer(|connection| connection.execute_batch(&by_hand)).unwrap();
}

fn tables(connection: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// How many rows of a tenant there are in each table.
fn rows_of(connection: &Connection, tenant: TenantId) -> BTreeMap<String, i64> {
    let mut rows: BTreeMap<String, i64> = BTreeMap::new();
    for table in tables(connection) {
        if WITHOUT_TENANT.contains(&table.as_str()) || LOOKUPS.iter().any(|(look, _)| *look == table) {
            continue;
        }
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = {}", tenant.0);
        let count: i64 = connection
            .query_row(&sql, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{table}: name its tenant, or say why it has none: {error}"));
        rows.insert(table, count);
    }
    let fixed = [
        ("tenants", format!("SELECT COUNT(*) FROM tenants WHERE id = {}", tenant.0)),
        // Each tenant has posted two events, and the second was wide.
        (
            "expanded",
            format!("SELECT COUNT(*) FROM expanded WHERE event_id IN ({}, {})", tenant.0 * 2, tenant.0 + 1_000_000),
        ),
    ];
    for (table, sql) in fixed {
        rows.insert(table.to_owned(), connection.query_row(&sql, [], |row| row.get(0)).unwrap());
    }
    rows
}

#[test]
fn nothing_of_a_deleted_tenant_is_left_in_any_table() {
    let directory = OneDirectory::new();
    let mut stepped = Stepped::open(directory.0.path());
    let mut tenants = Vec::new();
    for slug in ["a", "b", "c"] {
        let new = NewTenant {
            slug: slug.to_owned(),
            name: slug.to_owned(),
            email: None,
            providers: None,
            quotas: Quotas::default(),
        };
        let tenant = stepped.run(stepped.store.put_tenant(new, NOW)).unwrap().id;
        fill(&stepped, tenant);
        tenants.push(tenant);
    }
    let count = |stepped: &Stepped, tenant| stepped.store.with_writer(|connection| rows_of(connection, tenant));
    let before: Vec<_> = tenants.iter().map(|tenant| count(&stepped, *tenant)).collect();
    let look_ups_before = stepped.store.with_writer(|connection| look_ups(connection));
    assert!(look_ups_before.0 > 20 && look_ups_before.1 == 0, "{look_ups_before:?}");
    for (table, rows) in &before[1] {
        assert!(*rows > 0, "nothing was put into {table}, so this test shows nothing of it");
    }
    assert!(stepped.run(stepped.store.delete_tenant(tenants[1], NOW)).unwrap());
    let mut slices = 0;
    while stepped.run(stepped.store.purge_slice(30)).unwrap() {
        slices += 1;
        assert!(slices < 1000, "it goes round in circles");
        if slices % 5 == 0 {
            // A start forgets how far it has come.
            drop(stepped);
            stepped = Stepped::open(directory.0.path());
        }
    }
    assert!(slices > 30, "{slices} slices for more than a thousand rows");
    let left: Vec<_> = count(&stepped, tenants[1]).into_iter().filter(|(_, rows)| *rows > 0).collect();
    assert!(left.is_empty(), "{left:?}");
    let others = (count(&stepped, tenants[0]), count(&stepped, tenants[2]));
    assert_eq!(others, (before[0].clone(), before[2].clone()));
    let look_ups_left = stepped.store.with_writer(|connection| look_ups(connection));
    assert_eq!(look_ups_left.1, 0, "look-ups speak of rows that are gone");
}

#[test]
fn a_slice_that_shares_its_batch_leaves_no_sums() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let new = NewTenant {
        slug: "a".to_owned(),
        name: "a".to_owned(),
        email: None,
        providers: None,
        quotas: Quotas::default(),
    };
    let tenant = stepped.run(stepped.store.put_tenant(new, NOW)).unwrap().id;
    stepped.run(stepped.store.accept(request(tenant, vec![event(tenant, &[1])]))).unwrap();
    let settlements: std::sync::Arc<[_]> = stepped.heard().iter().map(sent).collect();
    stepped.run(stepped.store.delete_tenant(tenant, NOW)).unwrap();
    // The last row leaves the queue in the batch of the slice, and its sums are written after the slice.
    let calls: Vec<super::Call<'_, bool>> = vec![
        Box::pin(async { stepped.store.settle(settlements).await.map(|()| true) }),
        Box::pin(stepped.store.purge_slice(1000)),
    ];
    let answers = stepped.batch(calls, None);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(true))), "{answers:?}");
    while stepped.run(stepped.store.purge_slice(1000)).unwrap() {}
    let left: Vec<_> = stepped.store.with_writer(|connection| rows_of(connection, tenant)).into_iter().collect();
    assert!(left.iter().all(|(_, rows)| *rows == 0), "{left:?}");
}
