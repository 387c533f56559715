//! The socket in the data directory: who may open it, as whom they act, and what is left of it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::harness::{ADMIN_KEY, Page, Setup, soon};

#[tokio::test]
async fn only_its_owner_may_open_it() {
    let setup = Setup::new();
    let server = setup.start().await;
    let socket = setup.data_dir().join("postrider.sock");
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(&setup.data_dir())), (0o600, 0o700));

    // As another user, where the tests may become one.
    std::fs::set_permissions(setup.data_dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(setup.data_dir().parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let can_change_user = Command::new("setpriv").args(as_nobody).arg("true").status().is_ok_and(|it| it.success());
    if can_change_user {
        let socket = socket.to_string_lossy();
        let ask = ["curl", "--silent", "--show-error", "--unix-socket", &socket, "http://localhost/v1/tenants"];
        let other = Command::new("setpriv").args(as_nobody).args(ask).output().unwrap();
        // 7: no connection.
        assert_eq!(other.status.code(), Some(7), "{other:?}");
        let own = Command::new(ask[0]).args(&ask[1..]).output().unwrap();
        assert!(own.status.success() && String::from_utf8_lossy(&own.stdout).contains("default"), "{own:?}");
    }
    drop(server);
}

#[tokio::test]
async fn it_goes_with_the_server_and_a_killed_servers_is_replaced() {
    let setup = Setup::new();
    let socket = setup.data_dir().join("postrider.sock");
    let server = setup.start().await;
    assert!(socket.exists());
    assert!(server.stop().await.success());
    assert!(!socket.exists());

    setup.start().await.kill().await;
    assert!(socket.exists(), "nobody was left to remove it");
    setup.run(&["tenants", "list", "-v"]).await.ended_with(0).remarks(&["No server runs"]);
    let _server = setup.start().await;
    setup.run(&["tenants", "list", "-v"]).await.ended_with(0).remarks(&["postrider.sock"]);
}

#[tokio::test]
async fn a_key_counts_over_the_socket_too() {
    let setup = Setup::new();
    let server = setup.start().await;
    let key = server.client.create_key("default", &["events:write"]).await.key.unwrap();
    let cli = setup.clone().set("POSTRIDER_KEY", &key);
    cli.run(&["send", "a"]).await.ended_with(0);
    cli.run(&["channel", "list"]).await.ended_with(4).remarks(&["lacks the scope channels:read"]);
    cli.run(&["tenants", "list"]).await.ended_with(4).remarks(&["lacks the scope platform"]);
    setup.run(&["tenants", "list"]).await.ended_with(0);
}

#[tokio::test]
async fn no_header_makes_a_call_over_the_network_local() {
    let server = Setup::new().start().await;
    let guesses = [
        ("postrider-local", "true"),
        ("x-postrider-local", "1"),
        ("host", "localhost"),
        ("postrider-tenant", "default"),
    ];
    server.client_with("").send(http::Method::GET, "/v1/channels", &guesses, "").await.problem(401);
    let listed = server.client_with(ADMIN_KEY).for_tenant("default").get("/v1/channels").await;
    assert!(listed.read::<Page<serde_json::Value>>(200).data.is_empty());
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_stops_no_server() {
    let setup = Setup::new();
    let deep = setup.data_dir().join("x".repeat(120));
    let setup = setup.set("POSTRIDER_DATA_DIR", &deep.to_string_lossy());
    let mut server = setup.start().await;
    let said = soon("the warning", server.process.stderr.line_with("bytes long")).await;
    assert!(said.as_deref().is_some_and(|said| said.contains("POSTRIDER_URL")), "{said:?}");
    let asked = setup.run(&["tenants", "list"]).await;
    asked.ended_with(3).remarks(&["is in use by a process", "bytes long", "POSTRIDER_URL"]);
    let url = format!("http://{}", server.address);
    let cli = setup.clone().set("POSTRIDER_URL", &url).set("POSTRIDER_KEY", ADMIN_KEY);
    cli.run(&["tenants", "list"]).await.ended_with(0);
}
