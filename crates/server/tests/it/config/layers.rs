//! The file under the variables under the flags, and names that are refused.

use crate::harness::{Setup, soon};

#[tokio::test]
async fn flags_win_over_variables_and_variables_over_the_file() {
    let file = "log = \"error\"\n[delivery]\nin_flight_max = 7\nlane_items_max = 8\n";
    let setup = Setup::new().with_file("postrider.toml", file).set("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", "9");
    let check = async |arguments: &[&str], expected: &[&str]| {
        let dumped = setup.dump(arguments).await;
        for line in expected {
            assert!(dumped.lines().any(|found| found.starts_with(line)), "{line}: {dumped}");
        }
    };
    // The file of that name is found without being named.
    check(&[], &["log = \"error\" # file postrider.toml", "delivery.lane_items_max = \"8\" # file"]).await;
    check(&[], &["delivery.in_flight_max = \"9\" # variable POSTRIDER_DELIVERY__IN_FLIGHT_MAX"]).await;
    check(&["--set", "delivery.in_flight_max=10"], &["delivery.in_flight_max = \"10\" # flag --set"]).await;
    check(&["--log", "info"], &["log = \"info\" # flag --log"]).await;
    check(&["--listen", "127.0.0.1:1"], &["listen = \"127.0.0.1:1\" # flag --listen"]).await;
}

#[tokio::test]
async fn a_file_that_is_named_is_the_one() {
    let setup = Setup::new().with_file("postrider.toml", "log = \"error\"").with_file("other.toml", "log = \"info\"");
    assert!(setup.dump(&["--config", "other.toml"]).await.contains("log = \"info\" # file other.toml"));
    let by_variable = setup.set("POSTRIDER_CONFIG", "other.toml");
    assert!(by_variable.dump(&[]).await.contains("log = \"info\" # file other.toml"));
    assert!(by_variable.dump(&["--config", "postrider.toml"]).await.contains("log = \"error\""));
}

#[tokio::test]
async fn the_server_takes_file_and_flags() {
    let setup = Setup::new().with_file("postrider.toml", "[limits]\nbody_bytes_max = 2048\n");
    let mut process = setup.launch(&["--config", "postrider.toml", "serve", "--set", "delivery.retry_base_ms=2"]);
    assert!(soon("the welcome line", process.stdout.line_with("is ready at http://")).await.is_some());
}

#[tokio::test]
async fn a_name_that_is_none_stops_the_start() {
    let check = async |setup: Setup, expected: &[&str]| {
        let (status, message) = setup.start_in_vain().await;
        assert_eq!(status.code(), Some(1));
        for part in expected {
            assert!(message.contains(part), "{part}: {message}");
        }
    };
    let by_variable = Setup::new().set("POSTRIDER_DELIVERY__IN_FLIHGT_MAX", "64");
    check(by_variable, &["POSTRIDER_DELIVERY__IN_FLIHGT_MAX", "did you mean POSTRIDER_DELIVERY__IN_FLIGHT_MAX?"]).await;
    let in_file = Setup::new().with_file("postrider.toml", "lisen = \"127.0.0.1:0\"");
    check(in_file, &["postrider.toml", "lisen", "did you mean listen?"]).await;
    let both = Setup::new().set("POSTRIDER_LOGG", "info").set("POSTRIDER_LISTEN", "nowhere");
    check(both, &["did you mean POSTRIDER_LOG?", "listen", "like 127.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_key_may_stand_in_a_file() {
    let setup =
        Setup::first_run().with_file("key", "the-key-that-stands-in-a-file\n").set("POSTRIDER_ADMIN_KEY_FILE", "key");
    let server = setup.start().await;
    server.client_with("the-key-that-stands-in-a-file").get("/v1/tenants").await.read::<serde_json::Value>(200);
}
