//! The same commands over the network, over the socket and in their own process do the same.

use serde_json::Value;

use crate::harness::{ADMIN_KEY, Channel, Delivery, Event, IssuedKey, Page, Receiver, Server, Setup, Tested};

/// How commands reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Network,
    Socket,
    Process,
}

/// Whom commands ask: a setup to run them with, and the server while there is one.
struct Asked {
    cli: Setup,
    _server: Option<Server>,
}

impl Way {
    async fn start(self) -> Asked {
        let setup = Setup::new();
        let server = setup.start().await;
        match self {
            Self::Network => {
                let url = format!("http://{}/v1/", server.address);
                let elsewhere = setup.set("POSTRIDER_DATA_DIR", "/nowhere");
                let cli = elsewhere.set("POSTRIDER_URL", &url).set("POSTRIDER_KEY", ADMIN_KEY);
                Asked { cli: cli.set("POSTRIDER_TENANT", "default"), _server: Some(server) }
            }
            Self::Socket => Asked { cli: setup, _server: Some(server) },
            Self::Process => {
                assert!(server.stop().await.success());
                Asked { cli: setup, _server: None }
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Network => "Asking the server at http://127.0.0.1:",
            Self::Socket => "postrider.sock",
            Self::Process => "No server runs: working in this process",
        }
    }
}

async fn channels(cli: &Setup, receiver: &Receiver) {
    let url = format!("url={}", receiver.url("/a"));
    let add = ["channel", "add", "webhook", "--name", "Billing", "--event-type", "invoice.*", "--json", &url];
    let made: Channel =
        cli.run(&[&add[..], &["--filter", "amount > 10", "headers.x-team=billing"]].concat()).await.json();
    assert!(made.secret().starts_with("whsec_"));
    assert_eq!(
        (made.event_types.as_slice(), made.filter.as_deref()),
        (&["invoice.*".to_owned()][..], Some("amount > 10"))
    );
    let id = made.id.to_string();

    let listed: Page<Channel> = cli.run(&["channel", "list", "--json"]).await.json();
    assert_eq!(listed.data.len(), 1);
    let table = cli.run(&["channels", "list"]).await;
    table.ended_with(0).says(&["ID  NAME", "Billing  webhook", "invoice.*", "amount > 10"]);
    let shown = cli.run(&["channel", "show", &id]).await;
    shown.ended_with(0).says(&["Channel 1 \"Billing\"", "x-team", "state     on", "secret=***"]);
    assert!(!shown.stdout.contains(made.secret()));

    let changed: Channel = cli.run(&["channel", "set", &id, "--filter", "", "headers.x-team=", "--json"]).await.json();
    assert_eq!((changed.filter, changed.config.get("headers")), (None, None));
    let tested: Tested = cli.run(&["channel", "test", &id, "--json"]).await.json();
    assert!(tested.ok);
    cli.run(&["channel", "test", &id]).await.ended_with(0).says(&["took the test: delivered 200"]);
    assert_eq!(receiver.count("/a"), 2);

    cli.run(&["channel", "off", &id, "--yes"]).await.ended_with(0).says(&["is off"]);
    cli.run(&["channel", "list"]).await.ended_with(0).says(&["off"]);
    cli.run(&["channel", "resume", &id]).await.ended_with(0).says(&["is on"]);
}

async fn events(cli: &Setup, receiver: &Receiver) {
    let sent: Event =
        cli.run(&["send", "invoice.paid", "--data", r#"{"amount": 50}"#, "--wait", "--json"]).await.json();
    assert_eq!(sent.deliveries.iter().map(|one| one.status.as_str()).collect::<Vec<_>>(), ["sent"]);
    assert_eq!(receiver.count("/a"), 3);
    cli.run(&["why", &sent.id]).await.ended_with(0).says(&[
        "invoice.paid",
        "Accepted ",
        "For channel 1 \"Billing\": sent",
        "attempt 1 ",
        "delivered 200",
    ]);
    let wire_id = receiver.received("/a")[2].id().to_owned();
    cli.run(&["why", &wire_id]).await.ended_with(0).says(&[&sent.id, "For channel 1 \"Billing\": sent"]);
    cli.run(&["stats"]).await.ended_with(0).says(&["events           3", "sent             3"]);
    let story: Value = cli.run(&["why", &sent.id, "--json"]).await.json();
    assert_eq!((story["event"]["id"].as_str(), story["attempts"][0]["code"].as_u64()), (Some(&*sent.id), Some(200)));

    let listed: Page<Delivery> = cli.run(&["deliveries", "--status", "sent", "--channel", "1", "--json"]).await.json();
    assert_eq!(listed.data.len(), 3);
    let first = cli.run(&["deliveries", "--limit", "1"]).await;
    first.ended_with(0).says(&["STATUS", "sent"]).remarks(&["--cursor"]);
    assert_eq!(first.stdout.lines().count(), 2);
    let refused = cli.run(&["deliveries", "retry", &sent.deliveries[0].id.to_string()]).await;
    refused.ended_with(1).remarks(&["is sent; only dead and waiting"]);
}

async fn keys(cli: &Setup) {
    let made = cli.run(&["keys", "create", "--name", "ci", "--scope", "events:write"]).await;
    made.ended_with(0).remarks(&["may events:write"]);
    assert!(made.stdout.starts_with("pk_") && !made.stdout.contains(' '), "{}", made.stdout);
    let listed: Page<IssuedKey> = cli.run(&["keys", "list", "--json"]).await.json();
    let key = listed.data.iter().find(|key| key.name == "ci").expect("listed");
    assert_eq!(key.scopes, ["events:write"]);
    let table = cli.run(&["keys", "list"]).await;
    table.ended_with(0).says(&["SCOPES", "ci"]);
    assert!(!table.stdout.contains(&made.stdout));
    let id = key.id.to_string();
    cli.run(&["keys", "revoke", &id, "--yes"]).await.ended_with(0).says(&["revoked"]);
    cli.run(&["keys", "revoke", &id, "--yes"]).await.ended_with(1);
}

async fn tenants(cli: &Setup) {
    cli.run(&["tenants", "create", "acme", "--name", "Acme", "--email", "a@acme.test"])
        .await
        .ended_with(0)
        .says(&["acme"]);
    cli.run(&["tenants", "list"]).await.ended_with(0).says(&["SLUG", "acme", "a@acme.test", "default"]);
    cli.run(&["tenants", "show", "acme"]).await.ended_with(0).says(&["\"Acme\"", "events_per_day", "0 used, no bound"]);
    let quota = &["tenants", "create", "acme", "--name", "Acme", "--email", "a@acme.test", "--quota", "channels=7"];
    cli.run(quota).await.ended_with(0);
    cli.run(&["tenants", "show", "acme"]).await.ended_with(0).says(&["channels", "0 used, of 7"]);
    let shown: Value = cli.run(&["tenants", "show", "acme", "--json"]).await.json();
    assert_eq!(shown["slug"], "acme");
    // Each tenant has its own channels.
    cli.run(&["channel", "list", "--tenant", "acme"]).await.ended_with(0).says(&["There are no channels"]);
    cli.run(&["keys", "list", "--tenant", "acme"]).await.ended_with(0).says(&["Tenant acme has no keys"]);
}

async fn check(way: Way) {
    let receiver = Receiver::start().await;
    let asked = way.start().await;
    let cli = &asked.cli;
    cli.run(&["tenants", "list", "-v"]).await.ended_with(0).remarks(&[way.words()]);
    channels(cli, &receiver).await;
    events(cli, &receiver).await;
    keys(cli).await;
    tenants(cli).await;
    cli.run(&["channel", "rm", "1", "--yes"]).await.ended_with(0).says(&["deleted"]);
    cli.run(&["channel", "show", "1"]).await.ended_with(1).remarks(&["there is no channel 1"]);
}

#[tokio::test]
async fn over_the_network() {
    check(Way::Network).await;
}

#[tokio::test]
async fn over_the_socket() {
    check(Way::Socket).await;
}

#[tokio::test]
async fn in_its_own_process() {
    check(Way::Process).await;
}

#[tokio::test]
async fn a_look_in_its_own_process_delivers_nothing() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    let away = serde_json::json!({"is_active": true, "retry": {"delays_seconds": [1]}});
    let dead = Receiver::start().await;
    dead.always("/", crate::harness::Reply::status(500));
    server.client.webhook(&dead.url("/"), away).await;
    let delivery = server.client.accept_one("a", serde_json::json!({})).await;
    server.client.delivery_once(delivery, "retrying").await;
    assert!(server.stop().await.success());
    let tried = dead.count("/");
    for look in [&["deliveries"][..], &["why", "evt_1"], &["channel", "list"], &["keys", "list"], &["tenants", "list"]]
    {
        setup.run(look).await.ended_with(0);
    }
    assert_eq!((dead.count("/"), receiver.total()), (tried, 0));
    // A person's retry is tried before the command ends, and what is left waits for a server.
    setup.run(&["deliveries", "retry", &delivery.to_string()]).await.ended_with(0);
    assert!(dead.count("/") > tried);
}

#[tokio::test]
async fn commands_without_a_server_wait_for_each_other() {
    let setup = Setup::new();
    assert!(setup.start().await.stop().await.success());
    let (one, other) = tokio::join!(setup.run(&["send", "a"]), setup.run(&["send", "b"]));
    one.ended_with(0);
    other.ended_with(0);
    setup.run(&["why", "evt_2"]).await.ended_with(0);
}

#[tokio::test]
async fn a_command_makes_no_database() {
    let setup = Setup::new();
    let refused = setup.run(&["send", "a"]).await;
    refused.ended_with(3).remarks(&["no server runs here", "holds no database", "postrider serve"]);
    assert!(!setup.data_dir().exists());
}
