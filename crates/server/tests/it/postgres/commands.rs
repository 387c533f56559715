//! Commands on a machine whose database is on PostgreSQL.

use super::{cluster, setup};
use crate::harness::Setup;

#[tokio::test]
async fn commands_work_without_a_server_and_say_what_they_cannot_do() {
    let cluster = cluster();
    let setup = setup(&cluster);
    setup.run(&["channel", "list"]).await.ended_with(3).remarks(&["no server runs here"]);
    assert!(setup.start().await.stop().await.success());
    setup.run(&["channel", "list"]).await.ended_with(0);
    let copy = setup.data_dir().join("copy.db");
    let copy = copy.to_string_lossy();
    setup.run(&["backup", "--to", &copy]).await.ended_with(2).remarks(&["pg_dump", "secret.key"]);
    setup.run(&["restore", "--from", &copy]).await.ended_with(2).remarks(&["pg_restore"]);
    setup.run(&["doctor", "--resolve", "localhost"]).await.says(&["database: postrider on", "PostgreSQL"]);
}

#[tokio::test]
async fn a_database_without_its_key_is_not_given_another() {
    let cluster = cluster();
    let first = setup(&cluster);
    let server = first.start().await;
    server.client.webhook("http://127.0.0.1:9/", serde_json::json!({})).await;
    assert!(server.stop().await.success());
    let elsewhere = setup(&cluster);
    let (status, stderr) = elsewhere.start_in_vain().await;
    assert!(!status.success());
    assert!(stderr.contains("secret.key is missing"), "{stderr}");
    assert!(!elsewhere.data_dir().join("secret.key").exists());
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_said() {
    let cluster = cluster();
    let check = async |setup: Setup, part: &str| {
        let (status, stderr) = setup.start_in_vain().await;
        assert!(!status.success());
        assert!(stderr.contains(part) && !stderr.contains("canary"), "{part}: {stderr}");
    };
    let with = |url: &str| Setup::new().set("POSTRIDER_DATABASE_URL", url);
    check(with(&cluster.url("nothing")), "database \"nothing\" does not exist").await;
    check(with("postgres://ada:canary@127.0.0.1:1/mail?connect_timeout=1"), "cannot be reached").await;
    check(with("mysql://ada:canary@127.0.0.1/mail"), "must begin with postgres://").await;
    check(with("postgres://ada:canary@127.0.0.1/mail?sslmode=maybe"), "sslmode must be").await;
}
