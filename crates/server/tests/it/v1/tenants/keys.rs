//! `/v1/tenants` and their keys: made, changed, listed.

use http::Method;
use serde_json::{Value, json};

use super::Tenant;
use crate::harness::{IssuedKey, Page, Setup};

#[tokio::test]
async fn a_tenant_is_made_changed_and_listed() {
    let server = Setup::new().start().await;
    let put = async |body: Value| -> Tenant {
        server.client.send(Method::PUT, "/v1/tenants/acme", &[], body.to_string()).await.read(200)
    };
    let made = put(json!({"name": "Acme", "email": "ops@acme.example"})).await;
    assert_eq!((made.slug.as_str(), made.name.as_str()), ("acme", "Acme"));
    assert_eq!((made.email.as_deref(), made.updated_at), (Some("ops@acme.example"), None));
    assert_eq!(made.suspended_at, None);
    let changed = put(json!({"name": "Acme Ltd"})).await;
    assert_eq!((changed.id, changed.name.as_str()), (made.id, "Acme Ltd"));
    assert_eq!(changed.created_at, made.created_at);
    assert!(changed.updated_at.is_some());
    let second: Tenant = server.client.post("/v1/tenants", &json!({"slug": "beta"})).await.read(201);
    assert_eq!(second.name, "beta");

    let first: Page<Tenant> = server.client.get("/v1/tenants?limit=2").await.read(200);
    let slugs = |page: &Page<Tenant>| page.data.iter().map(|tenant| tenant.slug.clone()).collect::<Vec<_>>();
    assert_eq!(slugs(&first), ["default", "acme"]);
    let path = format!("/v1/tenants?limit=2&cursor={}", first.next_cursor.unwrap());
    let rest: Page<Tenant> = server.client.get(&path).await.read(200);
    assert_eq!((slugs(&rest), rest.next_cursor), (vec!["beta".to_owned()], None));
    for (q, expected) in [("LTD", vec!["acme"]), ("a", vec!["default", "acme", "beta"]), ("%25", vec![])] {
        let found: Page<Tenant> = server.client.get(&format!("/v1/tenants?q={q}")).await.read(200);
        assert_eq!(slugs(&found), expected, "{q}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    let check = async |method: Method, path: &str, body: Value, fields: &[&str]| {
        let problem = server.client.send(method, path, &[], body.to_string()).await.problem(422);
        assert_eq!(problem.fields(), fields, "{path} {body}");
    };
    check(Method::POST, "/v1/tenants", json!({}), &["slug"]).await;
    check(Method::POST, "/v1/tenants", json!({"slug": "A b"}), &["slug"]).await;
    check(Method::PUT, "/v1/tenants/-a", json!({}), &["slug"]).await;
    check(Method::PUT, "/v1/tenants/a", json!({"name": ""}), &["name"]).await;
    check(Method::PUT, "/v1/tenants/a", json!({"email": "nobody"}), &["email"]).await;
    check(Method::PUT, "/v1/tenants/a", json!({"colour": 1}), &["colour"]).await;
    let keys = "/v1/tenants/default/keys";
    check(Method::POST, keys, json!({"name": "x"}), &["scopes"]).await;
    check(Method::POST, keys, json!({"name": "x", "scopes": []}), &["scopes"]).await;
    check(Method::POST, keys, json!({"name": "x", "scopes": ["inbox", "all"]}), &["scopes[1]"]).await;
    check(Method::POST, keys, json!({"name": "x", "scopes": ["platform"]}), &["scopes"]).await;
    let with = |key: &str, value: &str| json!({"name": "x", "scopes": ["inbox"], key: value});
    check(Method::POST, keys, with("expires_at", "2020-01-01T00:00:00Z"), &["expires_at"]).await;
    check(Method::POST, keys, with("expires_at", "soon"), &["expires_at"]).await;
    check(Method::POST, keys, with("key", "short"), &["key"]).await;
    check(Method::POST, keys, with("username", "a:b"), &["username"]).await;
}

#[tokio::test]
async fn a_key_is_shown_once_and_may_be_imported() {
    let server = Setup::new().start().await;
    let made = server.client.create_key("default", &["events:read", "inbox"]).await;
    let secret = made.key.unwrap();
    assert!(secret.starts_with(&made.prefix) && secret.len() > 30, "{secret}");
    assert_eq!((made.name.as_str(), made.scopes.len(), made.username), ("Test", 2, None));
    assert_eq!((made.created_at.is_empty(), made.expires_at), (false, None));
    let imported = json!({"name": "Old", "scopes": ["events:read"], "key": "an-existing-secret-1", "username": "old"});
    let imported: IssuedKey = server.client.post("/v1/tenants/default/keys", &imported).await.read(201);
    assert_eq!((imported.key.as_deref(), imported.username.as_deref()), (Some("an-existing-secret-1"), Some("old")));
    server.client_with("an-existing-secret-1").get("/v1/events/evt_1").await.problem(404);

    let again = json!({"name": "Again", "scopes": ["inbox"], "key": "an-existing-secret-1"});
    server.client.post("/v1/tenants/default/keys", &again).await.problem(409);
    let listed: Page<IssuedKey> = server.client.get("/v1/tenants/default/keys").await.read(200);
    assert!(listed.data.iter().all(|key| key.key.is_none()));
    assert_eq!(listed.data.iter().map(|key| key.id).collect::<Vec<_>>(), [made.id, imported.id]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Setup::new().start().await;
    for path in ["/v1/tenants/nobody", "/v1/tenants/nobody/keys", "/v1/tenants/%ff"] {
        let answer = server.client.get(path).await;
        answer.problem(404);
    }
    for key in ["999", "0", "abc", "99999999999999999999"] {
        server.client.delete(&format!("/v1/tenants/default/keys/{key}")).await.problem(404);
    }
    server.client.delete("/v1/tenants/nobody/keys/1").await.problem(404);
    assert!(server.client.get("/v1/tenants?limit=0").await.problem(422).fields() == ["limit"]);
}

/// The answer to a revocation may be lost between the store and the server.
#[tokio::test]
async fn a_key_that_the_store_has_revoked_lives_on_nowhere() {
    let setup = Setup::new();
    let server = setup.start().await;
    let IssuedKey { id, key, .. } = server.client.create_key("default", &["channels:read"]).await;
    let own = server.client_with(&key.unwrap());
    let database = rusqlite::Connection::open(setup.data_dir().join("postrider.db")).unwrap();
    database.execute("UPDATE api_keys SET revoked_at = 1 WHERE id = ?1", [id]).unwrap();
    assert_eq!(own.get("/v1/channels").await.status, 200, "nobody has told the server");
    let path = format!("/v1/tenants/default/keys/{id}");
    assert_eq!(server.client.delete(&path).await.status, 204);
    own.get("/v1/channels").await.problem(401);
    server.client.delete(&path).await.problem(404);
}
