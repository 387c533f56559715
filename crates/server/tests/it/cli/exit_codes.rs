//! What each end of a command tells a script.

use crate::harness::{ADMIN_KEY, Setup};

#[tokio::test]
async fn codes_say_what_kind_of_failure_it_was() {
    let setup = Setup::new();
    let server = setup.start().await;
    let url = format!("http://{}", server.address);
    let narrow = server.client.create_key("default", &["events:read"]).await.key.unwrap();
    let remote = setup.clone().set("POSTRIDER_URL", &url).set("POSTRIDER_TENANT", "default");
    let with_key = |key: &str| remote.clone().set("POSTRIDER_KEY", key);

    let check = async |cli: &Setup, arguments: &[&str], code: i32, part: &str| {
        cli.run(arguments).await.ended_with(code).remarks(&[part]);
    };
    check(&setup, &["channel", "show", "99"], 1, "there is no channel 99").await;
    check(&setup, &["why", "evt_99"], 1, "evt_99").await;
    check(&setup, &["why", "../../x y"], 1, "there is no event").await;
    check(&setup, &["tenants", "show", "nobody"], 1, "nobody").await;

    check(&setup, &["send"], 2, "TYPE").await;
    check(&setup, &["nonsense"], 2, "nonsense").await;
    check(&setup, &["--config", "x.toml", "stats"], 2, "POSTRIDER_CONFIG").await;
    check(&setup, &["send", "a b"], 2, "type").await;
    check(&setup, &["send", "a", "--data", "{"], 2, "--data is not JSON").await;
    check(&setup, &["send", "a", "--data", "[]"], 2, "data: must be a JSON object").await;
    check(&setup, &["deliveries", "--status", "gone"], 2, "status: must be one of pending").await;
    check(&setup, &["channel", "add", "webhook", "--name", "x"], 2, "url=https://").await;
    check(&setup, &["channel", "add", "webhook", "--name", "x", "url=x"], 2, "config.url: must be an absolute").await;
    check(&setup, &["channel", "add", "webhook", "--name", "x", "uri=x"], 2, "it has url, format").await;
    check(&setup, &["channel", "rm", "1"], 2, "--yes").await;
    check(&setup, &["tenants", "delete", "default"], 2, "--yes").await;
    check(&setup, &["keys", "create", "--name", "x", "--scope", "everything"], 2, "events:write").await;
    check(&setup, &["channel", "list", "--tenant", "no\nbody"], 2, "HTTP cannot carry").await;
    check(&remote, &["channel", "list"], 2, "POSTRIDER_KEY").await;
    check(&setup, &["channel", "list", "--url", "localhost:8080", "--key", "x"], 2, "http://").await;

    check(&setup, &["channel", "list", "--url", "http://127.0.0.1:1", "--key", "x"], 3, "cannot be reached").await;
    check(&with_key("wrong"), &["channel", "list"], 4, "unknown or was revoked").await;
    check(&with_key(&narrow), &["channel", "list"], 4, "channels:read").await;
    with_key(ADMIN_KEY).run(&["channel", "list"]).await.ended_with(0);
}

#[tokio::test]
async fn nothing_says_the_key() {
    let setup = Setup::new();
    let secret = "a-key-that-nobody-should-see";
    for arguments in [&["channel", "list", "--key", secret, "-v"][..], &["channel", "list", "--key", secret, "--help"]]
    {
        let said = setup.run(arguments).await;
        assert!(!format!("{}{}", said.stdout, said.stderr).contains(secret), "{said:?}");
    }
    let said = setup.set("POSTRIDER_KEY", secret).run(&["channel", "list", "--help"]).await;
    said.ended_with(0).says(&["POSTRIDER_KEY"]);
    assert!(!said.stdout.contains(secret));
}

#[tokio::test]
async fn help_tells_the_codes_and_the_fields() {
    let setup = Setup::new();
    setup.run(&["--help"]).await.ended_with(0).says(&["Exit codes:", "3  no server"]);
    let help = setup.run(&["channel", "add", "webhook", "--help"]).await;
    help.ended_with(0).says(&["--event-type", "url (required)", "Where events are posted to.", "headers.NAME=VALUE"]);
    setup.run(&["channel", "add", "--help"]).await.ended_with(0).says(&["webhook"]);
}

#[tokio::test]
async fn shells_complete_commands() {
    let setup = Setup::new();
    for shell in ["bash", "zsh", "fish"] {
        setup.run(&["completions", shell]).await.ended_with(0).says(&["deliveries", "doctor", "idempotency-key"]);
    }
    setup.run(&["completions", "abacus"]).await.ended_with(2);
}
