//! Settings from every layer, and what is said when they are wrong.

use super::*;

fn flags(flags: &[(&str, &str)]) -> Vec<Flag> {
    let flag = |(name, value): &(&str, &str)| Flag {
        flag: "--set".to_owned(),
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    flags.iter().map(flag).collect()
}

fn variables(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(given: &[(&str, &str)]) -> Result<Config, SettingErrors> {
    Config::load(&Sources { variables: variables(given), ..Sources::default() })
}

#[test]
fn the_defaults_are_complete() {
    let config = load(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.admin_key.is_none() && config.egress_allow.is_empty() && config.engine.retry_base.is_none());
    assert!(config.tls.is_none() && config.server.public_url.is_none() && config.server.cors_origins.is_empty());
    assert_eq!(config.limits.body_bytes_max, 1 << 20);
    assert!(config.engine.keeps_provider_rates);
    assert_eq!((config.altum.requests_per_minute, config.altum.validation_status.as_u16()), (600, 400));
}

#[test]
fn the_environment_overrides() {
    let config = load(&[
        ("POSTRIDER_LISTEN", "0.0.0.0:80"),
        ("POSTRIDER_ADMIN_KEY", "0123456789012345678901234567890123456789"),
        ("POSTRIDER_EGRESS__ALLOW", "10.0.0.0/8, 127.0.0.1,"),
        ("POSTRIDER_DELIVERY__RETRY_BASE_MS", "10"),
        ("POSTRIDER_DELIVERY__PROVIDER_RATES", "false"),
        ("POSTRIDER_SERVER__CORS_ORIGINS", "https://a.example,http://localhost:3000"),
    ])
    .unwrap();
    assert_eq!(config.listen.port(), 80);
    assert_eq!(config.admin_key.unwrap().reveal(), "0123456789012345678901234567890123456789");
    assert_eq!(config.egress_allow.len(), 2);
    assert_eq!(config.engine.retry_base, Some(Duration::from_millis(10)));
    assert_eq!(config.server.cors_origins.len(), 2);
    assert!(!config.engine.keeps_provider_rates);
}

#[test]
fn other_variables_are_left_alone() {
    let others = [
        ("POSTRIDER_URL", "x"),
        ("POSTRIDER_KEY", "x"),
        ("POSTRIDER_TENANT", "x"),
        ("POSTRIDER_RECEIVE_SECRET", "x"),
        ("POSTRIDER_PORT", "tcp://10.0.0.1:80"),
        ("POSTRIDER_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("POSTRIDER_SERVICE_HOST", "10.0.0.1"),
        ("POSTRIDER_SERVICE_PORT_HTTP", "80"),
        ("POSTRIDERLISTEN", "x"),
        ("PATH", "x"),
    ];
    load(&others).unwrap();
}

#[test]
fn what_is_wrong_is_named() {
    let check = |name: &str, value: &str, expected: &str| {
        let error = load(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    };
    check("POSTRIDER_LISTEN", "nowhere", "must be an address and a port");
    check("POSTRIDER_LISTEN", "", "like 127.0.0.1:8080");
    check("POSTRIDER_DATA_DIR", "", "path of a directory");
    check("POSTRIDER_LOG", "a=b=c", "must be a level");
    check("POSTRIDER_EGRESS__ALLOW", "10.0.0.0/99", "egress.allow");
    check("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", "0", "1 to 65536; it is \"0\"");
    check("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", "-1", "whole number");
    check("POSTRIDER_DATABASE_URL", "mysql://x", "must begin with postgres://");
    check("POSTRIDER_DATABASE_URL", "postgres://x/?sslmode=maybe", "sslmode must be");
    check("POSTRIDER_LENZ__TIME_ZONE", "Mars/Olympus", "like Asia/Jakarta");
    check("POSTRIDER_LENZ__TIME_ZONE", "", "or an offset like +07:00");
    check("POSTRIDER_TLS__CERT", "a.pem", "tls.key");
    check("POSTRIDER_SERVER__PUBLIC_URL", "example.com", "https://example.com");
    check("POSTRIDER_SERVER__PUBLIC_URL", "https://u:p@example.com", "without user");
    check("POSTRIDER_SERVER__CORS_ORIGINS", "https://a.example/x", "without a path");
    check("POSTRIDER_SERVER__CORS_ORIGINS", "*", "origins like");
    check("POSTRIDER_SERVER__TRUSTED_PROXIES", "proxy", "networks like");
    check("POSTRIDER_LIMITS__BODY_BYTES_MAX", "1", "1024 to 67108864");
    check("POSTRIDER_OTEL__ENDPOINT", "collector:4318", "https://example.com");
    check("POSTRIDER_OTEL__HEADERS", "authorization", "authorization=KEY");
    check("POSTRIDER_LOG_FORMAT", "xml", "must be text or json");
    check("POSTRIDER_ALTUM__REQUESTS_PER_MINUTE", "0", "1 to 1000000");
    check("POSTRIDER_ALTUM__VALIDATION_STATUS", "422", "must be 400 or 401");
    check("POSTRIDER_METRICS__PUBLIC", "yes", "must be true or false");
    check("POSTRIDER_LIMITS__IDLE_TIMEOUT_SECONDS", "1.5", "whole number");
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let check = |name: &str, expected: &str| {
        let error = load(&[(name, "1")]).unwrap_err().to_string();
        assert!(error.contains(&format!("(variable {name}): ")) && error.contains(expected), "{error}");
    };
    check("POSTRIDER_LISTN", "did you mean POSTRIDER_LISTEN?");
    check("POSTRIDER_DELIVERY__IN_FLIHGT_MAX", "did you mean POSTRIDER_DELIVERY__IN_FLIGHT_MAX?");
    check("POSTRIDER_DELIVERY_IN_FLIGHT_MAX", "did you mean POSTRIDER_DELIVERY__IN_FLIGHT_MAX?");
    check("POSTRIDER_ADMIN_KEY_FIEL", "did you mean POSTRIDER_ADMIN_KEY_FILE?");
    check("POSTRIDER_DELIVERY", "is a section");
    check("POSTRIDER_SOMETHING_ELSE_ALTOGETHER", "config dump");
    let given = Sources { flags: flags(&[("delivery.in_flight", "1")]), ..Sources::default() };
    let error = Config::load(&given).unwrap_err().to_string();
    assert!(error.contains("(flag --set)") && error.contains("did you mean delivery.in_flight_max?"), "{error}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let errors = load(&[("POSTRIDER_LISTEN", "x"), ("POSTRIDER_LOGG", "x"), ("POSTRIDER_TLS__KEY", "k")]).unwrap_err();
    let named: Vec<&str> = errors.0.iter().map(|error| error.setting.as_str()).collect();
    assert_eq!(named, ["logg", "listen", "tls.cert"]);
}

#[test]
fn each_provider_with_an_api_has_a_setting_for_where_it_is() {
    let config = load(&[("POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL", "http://127.0.0.1:8081/bots")]).unwrap();
    assert_eq!(config.base_urls["telegram"].as_str(), "http://127.0.0.1:8081/bots");
    assert_eq!(config.base_urls.len(), 1);
    let check = |name: &str, value: &str, part: &str| {
        let error = load(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check("POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL", "127.0.0.1:8081", "must be an http or https URL");
    check(
        "POSTRIDER_PROVIDERS__TELEGRAMM__BASE_URL",
        "http://a",
        "did you mean POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL?",
    );
    // A webhook's owner alone says where it is.
    check("POSTRIDER_PROVIDERS__WEBHOOK__BASE_URL", "http://a", "there is no such setting");
}

#[test]
fn the_later_layer_wins() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("some.toml");
    let text = "listen = \"127.0.0.1:1\"\nlog = \"error\"\n[delivery]\nin_flight_max = 7\nlane_items_max = 8\n\
                [egress]\nallow = [\"10.0.0.0/8\", \"127.0.0.1\"]\n";
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(file),
        variables: variables(&[("POSTRIDER_LOG", "info"), ("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", "9")]),
        flags: flags(&[("delivery.in_flight_max", "10")]),
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.listen.port(), config.log.as_str(), config.egress_allow.len()), (1, "info", 2));
    assert_eq!((config.engine.in_flight_max, config.engine.lane_items_max), (10, 8));
    let source_of = |name: &str| {
        let effective = Config::effective(&sources);
        effective.into_iter().find(|one| one.name == name).unwrap().source.to_string()
    };
    assert_eq!(source_of("delivery.in_flight_max"), "flag --set");
    assert_eq!(source_of("log"), "variable POSTRIDER_LOG");
    assert!(source_of("egress.allow").ends_with("some.toml, egress.allow"));
    assert_eq!(source_of("data_dir"), "default");
}

#[test]
fn files_that_are_wrong_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("some.toml");
    let check = |text: &str, expected: &str| {
        std::fs::write(&file, text).unwrap();
        let given = [("POSTRIDER_CONFIG", file.to_str().unwrap())];
        let error = load(&given).unwrap_err().to_string();
        assert!(error.contains("some.toml") && error.contains(expected) && !error.contains("canary"), "{error}");
    };
    check("listen = ", "is not TOML: line 1");
    check("log = \"info\"\nadmin_key = \"canary", "is not TOML: line 2");
    check("lisen = \"127.0.0.1:1\"", "did you mean listen?");
    check("delivery = 3", "is a section");
    check("[egres]\nallow = []", "did you mean egress.allow?");
    check("listen = [\"a\"]", "not a list");
    check("listen = 2026-01-01", "must be a text");
    check("[[egress]]\nallow = []", "list of texts");
    check("[egress]\nallow = \"10.0.0.0/99\"", "networks like");
    check("admin_key = [\"canary\"]", "not a list");
    let error = load(&[("POSTRIDER_CONFIG", "/nowhere/x.toml")]).unwrap_err().to_string();
    assert!(error.contains("/nowhere/x.toml cannot be read") && error.contains("POSTRIDER_CONFIG"), "{error}");
}

#[test]
fn secrets_may_stand_in_files_and_are_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "canary-of-the-file\n").unwrap();
    let path = file.to_str().unwrap();
    let by_file = variables(&[("POSTRIDER_ADMIN_KEY_FILE", path)]);
    let sources = Sources { variables: by_file, ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap().admin_key.unwrap().reveal(), "canary-of-the-file");
    let shown = format!("{:?} {:?}", Config::effective(&sources), Config::load(&sources));
    assert!(!shown.contains("canary") && shown.contains("POSTRIDER_ADMIN_KEY_FILE"), "{shown}");

    let error = load(&[("POSTRIDER_ADMIN_KEY_FILE", path), ("POSTRIDER_ADMIN_KEY", "canary")]).unwrap_err();
    assert!(error.to_string().contains("give one of the two") && !error.to_string().contains("canary"), "{error}");
    let error = load(&[("POSTRIDER_ADMIN_KEY_FILE", "/nowhere/key")]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/key cannot be read"), "{error}");
    let error = load(&[("POSTRIDER_DATABASE_URL", "mysql://u:canary@x")]).unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
}
