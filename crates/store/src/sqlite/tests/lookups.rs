//! Look-ups: what is found with them is what reading through a segment finds.

use domain::TenantId;
use domain::ids::ID_MAX;
use rusqlite::{Connection, Row};

use super::{OneDirectory, Stepped};
use crate::sqlite::segments::{Kind, Lookup, Order, Search, Segment, Segments, list, make_lookups};
use crate::sqlite::{DATABASE_FILE, connect_for_writing};

/// Enough for many leaves of each look-up.
const ROWS: i64 = 6_000;

const TENANTS: i64 = 3;
const CHANNELS: i64 = 7;

/// One closed segment of attempts. Deliveries have one to five of them, in no order.
fn write_attempts(connection: &Connection) {
    let sql =
        "INSERT INTO attempts (id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number, step,
                                     class, scope, note, body, started_at, duration_ms)
               VALUES (?1, ?2, ?3, ?4, 1, 'webhook', 'a', 1, 0, 'delivered', 'message', '', '', 1, 1)";
    let mut insert = connection.prepare(sql).unwrap();
    for id in 1..=ROWS {
        let delivery = (id * 7_919) % (ROWS / 3);
        insert.execute([id, delivery, 1 + delivery % TENANTS, 1 + delivery % CHANNELS]).unwrap();
    }
    let segments = format!(
        "UPDATE segments SET last_id = {ROWS} WHERE kind = 'attempts';
         INSERT INTO segments (kind, number, first_id, last_id, form) VALUES ('attempts', 2, {ROWS} + 1, {ID_MAX}, 0)"
    );
    connection.execute_batch(&segments).unwrap();
}

fn segment(connection: &Connection) -> Segment {
    list(connection, Kind::Attempts, 0, i64::MAX).unwrap().pop().unwrap()
}

/// What every search finds, in both orders.
fn found(connection: &Connection) -> Vec<Vec<i64>> {
    let segment = segment(connection);
    let mut all = Vec::new();
    let sought = [
        (Lookup::Tenant, vec![0, 1, 2, TENANTS, TENANTS + 1]),
        (Lookup::Channel, vec![0, 1, 4, CHANNELS, CHANNELS + 1]),
        (Lookup::Delivery, vec![0, 1, 700, ROWS / 3 - 1, ROWS / 3, ROWS]),
    ];
    let bounds = [0, 1, 2, 3_000, ROWS - 1, ROWS, ROWS + 1, i64::MAX];
    for (lookup, values) in sought {
        for sought in values {
            for (above, below) in bounds.iter().flat_map(|above| bounds.map(|below| (*above, below))) {
                for (tenant, rows_max) in [(1, 1), (1, 64), (2, usize::MAX), (3, 64)] {
                    let search = Search { lookup, sought, above, below, tenant: TenantId(tenant), rows_max };
                    // A search by tenant is for its own rows, and of another's channel there are none.
                    if lookup == Lookup::Tenant && sought != tenant
                        || lookup != Lookup::Tenant && rows_max != usize::MAX
                    {
                        continue;
                    }
                    let id = |row: &Row<'_>| row.get::<_, i64>(0);
                    all.push(segment.find(connection, &search, Order::NewestFirst, "id", id).unwrap());
                    all.push(segment.find(connection, &search, Order::OldestFirst, "id", id).unwrap());
                }
            }
        }
    }
    all
}

#[test]
fn a_look_up_finds_what_reading_through_finds() {
    let directory = OneDirectory::new();
    drop(Stepped::open(directory.0.path()));
    let connection = connect_for_writing(&directory.0.path().join(DATABASE_FILE)).unwrap();
    write_attempts(&connection);
    let read_through = found(&connection);
    assert!(read_through.iter().filter(|ids| ids.len() > 500).count() > 20);
    let mut segments = Segments::open(&connection, 4).unwrap();
    assert!(segments.is_lacking());
    let made = make_lookups(&connection).unwrap();
    assert_eq!(segments.keep_lookups(&connection, made.as_ref(), 1).unwrap(), 0, "rows were erased since");
    assert_eq!(segments.keep_lookups(&connection, made.as_ref(), 0).unwrap(), usize::try_from(ROWS).unwrap());
    assert!(!segments.is_lacking());
    assert_eq!(segments.keep_lookups(&connection, made.as_ref(), 0).unwrap(), 0, "it has them by now");
    assert_eq!(found(&connection), read_through);
    let leaves = "SELECT COUNT(*) FROM attempts_by_tenant UNION ALL SELECT COUNT(*) FROM attempts_by_delivery";
    let leaves: Vec<i64> =
        connection.prepare(leaves).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(leaves.iter().all(|leaves| (10..40).contains(leaves)), "{leaves:?}");
}
