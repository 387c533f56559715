//! `DELETE /v1/tenants/{slug}`: gone at once, erased soon.

use http::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::Tenant;
use crate::harness::{Gate, IssuedKey, Page, Receiver, Reply, Server, Setup, eventually};

async fn put(server: &Server, slug: &str) -> Tenant {
    server.client.send(Method::PUT, &format!("/v1/tenants/{slug}"), &[], "{}").await.read(200)
}

/// The rows of a tenant in all tables that name their tenant.
fn rows_of(connection: &Connection, tenant: i64) -> i64 {
    let sql = "SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
               WHERE m.type = 'table' AND c.name = 'tenant_id'";
    let mut statement = connection.prepare(sql).unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let count = |table: &String| {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = {tenant}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    tables.iter().map(count).sum()
}

/// Waits until a tenant is erased, and looks that nothing of it is left.
async fn is_erased(setup: &Setup, tenant: i64) {
    let path = setup.data_dir().join("postrider.db");
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    eventually("the tenant is erased", async || {
        let sql = "SELECT COUNT(*) FROM tenants WHERE id = ?1";
        let rows: i64 = connection.query_row(sql, [tenant], |row| row.get(0)).unwrap();
        (rows == 0).then_some(())
    })
    .await;
    assert_eq!(rows_of(&connection, tenant), 0);
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_and_its_slug_is_free() {
    let setup = Setup::new();
    let server = setup.start().await;
    let receiver = Receiver::start().await;
    let old = put(&server, "acme").await;
    let secret = json!({"name": "K", "scopes": ["events:write", "events:read"], "key": "a-secret-used-twice"});
    server.client.post("/v1/tenants/acme/keys", &secret).await.read::<IssuedKey>(201);
    let own = server.client_with("a-secret-used-twice");
    let platform = server.client.clone().for_tenant("acme");
    let gate = Gate::closed();
    receiver.always("/slow", Reply::status(200).behind(&gate));
    receiver.always("/broken", Reply::status(500));
    platform.webhook(&receiver.url("/slow"), json!({"concurrency": 1})).await;
    platform.webhook(&receiver.url("/broken"), json!({"retry": {"delays_seconds": [3600]}})).await;
    platform.webhook(&receiver.url("/fine"), json!({})).await;
    for _ in 0..50 {
        platform.accept(&json!({"type": "a", "data": {}, "idempotency_key": "same"})).await;
        platform.accept(&json!({"type": "a", "data": {}})).await;
    }
    receiver.wait_for("/slow", 1).await;
    server.client.webhook(&receiver.url("/default"), json!({})).await;
    let of_default = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(of_default, "sent").await;

    let answer = server.client.delete("/v1/tenants/acme").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0));
    own.get("/v1/events").await.problem(401);
    platform.get("/v1/events").await.problem(404);
    server.client.delete("/v1/tenants/acme").await.problem(404);
    // What is under way comes back to nothing.
    gate.open();
    is_erased(&setup, old.id).await;
    let started = receiver.count("/slow");
    assert_eq!(started, 1, "nothing is started for a tenant that is gone");

    let new = put(&server, "acme").await;
    assert!(new.id > old.id);
    server.client.post("/v1/tenants/acme/keys", &secret).await.read::<IssuedKey>(201);
    for list in ["/v1/events", "/v1/channels", "/v1/deliveries", "/v1/attempts"] {
        assert!(platform.get(list).await.read::<Page<Value>>(200).data.is_empty(), "{list}");
    }
    let again = json!({"type": "b", "data": {}, "idempotency_key": "same"});
    assert!(!platform.accept(&again).await.repeated, "the old tenant's keys are forgotten");
    assert_eq!(own.get("/v1/events").await.read::<Page<Value>>(200).data.len(), 1);
    assert_eq!(server.client.delivery(of_default).await.status, "sent");
}

#[tokio::test]
async fn erasing_goes_on_after_a_crash() {
    let setup = Setup::new();
    let server = setup.start().await;
    let receiver = Receiver::start().await;
    let old = put(&server, "acme").await;
    let platform = server.client.clone().for_tenant("acme");
    platform.webhook(&receiver.url("/"), json!({"is_active": true, "retry": {"delays_seconds": []}})).await;
    let events: Vec<_> = (0..1000).map(|number| json!({"type": "a", "data": {"n": number}})).collect();
    for _ in 0..5 {
        assert_eq!(platform.post("/v1/events", &json!(events)).await.status, 202);
    }
    server.client.delete("/v1/tenants/acme").await;
    server.kill().await;
    let server = setup.start().await;
    server.client.get("/v1/tenants/acme").await.problem(404);
    is_erased(&setup, old.id).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn the_first_tenant_may_go_and_stays_away() {
    let setup = Setup::new();
    let server = setup.start().await;
    let default: Tenant = server.client.get("/v1/tenants/default").await.read(200);
    assert_eq!(server.client.delete("/v1/tenants/default").await.status, 202);
    is_erased(&setup, default.id).await;
    assert!(server.stop().await.success());
    let server = setup.start().await;
    assert!(server.client.get("/v1/tenants").await.read::<Page<Tenant>>(200).data.is_empty());
    assert!(put(&server, "default").await.id > default.id);
}
