//! What happens to the secrets, and where they are looked for.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use prost::Message as _;
use providers::Provider;
use serde_json::{Map, Value, json};

use super::secrets::{Canaries, Target, Told, changed, least, of_vendor, path_of, whole};
use super::stand_ins::{StandIn, mail_server, parrot};
use crate::harness::{ADMIN_KEY, Accepted, Answer, Client, Page, Receiver, Reply, Server, Setup, eventually, soon};

/// Something that was said or written, and by whom.
struct Said {
    by: String,
    bytes: Vec<u8>,
    /// Whether it shows channels to somebody who may read them.
    shows_channels: bool,
}

/// Collects what is said while everything is tried.
#[derive(Default)]
struct Witness {
    said: Vec<Said>,
    canaries: Canaries,
}

impl Witness {
    fn note(&mut self, by: impl Into<String>, bytes: impl Into<Vec<u8>>, shows_channels: bool) {
        self.said.push(Said { by: by.into(), bytes: bytes.into(), shows_channels });
    }

    /// Asks, and remembers the whole answer.
    async fn ask(&mut self, client: &Client, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = client.send(method.clone(), path, &[], body).await;
        let shows_channels = path.starts_with("/v1/channels") && !path.ends_with("/test") && !path.contains("preview");
        self.note_answer(format!("{method} {path}"), &answer, shows_channels);
        answer
    }

    fn note_answer(&mut self, by: String, answer: &Answer, shows_channels: bool) {
        self.note(format!("headers of {by}"), format!("{:?}", answer.headers), false);
        self.note(by, answer.body.to_vec(), shows_channels);
    }

    async fn get(&mut self, client: &Client, path: &str) -> Answer {
        self.ask(client, Method::GET, path, &Value::Null).await
    }

    /// Makes a channel. A secret that the server makes is in this answer and in no other.
    async fn channel(&mut self, client: &Client, provider: &dyn Provider, config: &Map<String, Value>) -> i64 {
        let spec = provider.spec();
        let wanted = json!({"name": format!("A {}", spec.name), "provider": spec.name, "config": config,
            "retry": {"delays_seconds": [0.001, 0.001, 0.001, 0.001]}});
        let answer = client.post("/v1/channels", &wanted).await;
        let made: Value = answer.read(201);
        for field in spec.fields.iter().filter(|field| field.secret) {
            let shown = made["config"][field.key].as_str().filter(|text| !text.contains("****"));
            if let Some(generated) = shown {
                self.canaries.learn(&format!("{} generated", field.key), generated, Told::Never);
                assert!(!config.contains_key(field.key), "{}: only what was made is shown", field.key);
            }
        }
        made["id"].as_i64().expect("an id")
    }

    /// Fails with the places where a secret is told.
    fn judge(&self) {
        let mut found = BTreeSet::new();
        for said in &self.said {
            for place in self.canaries.found_in(&said.bytes, said.shows_channels) {
                found.insert(format!("{place} is told by {}", said.by));
            }
        }
        let list = found.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(found.is_empty(), "{} secrets are told:\n{list}", found.len());
    }
}

/// Who is there besides the server.
struct Others {
    receiver: Receiver,
    collector: Receiver,
    mail: StandIn,
    parrot: StandIn,
}

impl Others {
    /// Where channels lead, and how it ends there.
    fn targets(&self) -> [Target; 6] {
        let target = |name, host, http_port, mail_port| Target { name, scheme: "http", host, http_port, mail_port };
        [
            target("takes", "localhost", self.receiver.port(), self.mail.port),
            target("fails", "localhost", self.receiver.port(), self.mail.port),
            target("garbled", "localhost", self.parrot.port, self.mail.port),
            target("refused", "127.0.0.1", 1, 1),
            target("unknown", "nobody.invalid", 80, 25),
            Target { scheme: "https", ..target("untrusted", "127.0.0.1", self.parrot.port, self.parrot.port) },
        ]
    }
}

/// Starts everything and does everything; then looks everywhere.
pub(super) async fn check(log_format: &str) {
    let (mail, certificate) = mail_server().await;
    let others =
        Others { receiver: Receiver::start().await, collector: Receiver::start().await, mail, parrot: parrot().await };
    let mut witness = Witness::default();
    let setup = operator(&others, &mut witness.canaries, log_format, &certificate);
    let mut server = setup.start().await;

    let channels = deliver(&mut witness, &server, &others).await;
    look_around(&mut witness, &server, &channels).await;
    look_by_command(&mut witness, &setup).await;
    note_files(&mut witness, &setup.data_dir(), "of a running server");
    server.process.ask_to_stop();
    assert!(server.process.ended().await.success());
    note_files(&mut witness, &setup.data_dir(), "of a stopped server");

    let log = server.process.stderr.text();
    assert!(log.contains("TRACE") && log.contains("attempt over"), "everything is logged");
    witness.note("stderr", log, false);
    witness.note("stdout", server.process.stdout.text(), false);
    let mut spans = 0;
    for batch in others.collector.received("/v1/traces") {
        opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest::decode(batch.body.clone())
            .expect("OTLP");
        witness.note("the trace collector's requests", batch.body.to_vec(), false);
        spans += 1;
    }
    assert!(spans > 0, "spans are exported");
    witness.judge();
}

/// The operator's own secrets.
fn operator(others: &Others, canaries: &mut Canaries, log_format: &str, certificate: &str) -> Setup {
    canaries.learn("admin key", ADMIN_KEY, Told::Never);
    let password = canaries.plant_plain("smtp-url-takes", Told::Never);
    let collector = canaries.plant_plain("otel-headers", Told::Never);
    others.collector.script("/v1/traces", [Reply::echo(500, "no: ")]);
    let vendors = providers::all().iter().map(|provider| provider.spec()).filter(|spec| spec.base_url.is_some());
    let here = format!("http://127.0.0.1:{}", others.receiver.port());
    vendors
        .fold(Setup::new(), |setup, spec| {
            setup.set(&format!("POSTRIDER_PROVIDERS__{}__BASE_URL", spec.name.to_uppercase()), &here)
        })
        // What is looked for here does not come at a pace.
        .set("POSTRIDER_DELIVERY__PROVIDER_RATES", "false")
        .with_file("cert.pem", certificate)
        .set("SSL_CERT_FILE", "cert.pem")
        .set("POSTRIDER_LOG", "trace")
        .set("POSTRIDER_LOG_FORMAT", log_format)
        .set("POSTRIDER_SMTP__URL", &format!("smtp+starttls://operator:{password}@localhost:{}", others.mail.port))
        .set("POSTRIDER_SMTP__FROM", "ops@operator.test")
        .set("POSTRIDER_OTEL__ENDPOINT", &others.collector.url("/"))
        .set("POSTRIDER_OTEL__HEADERS", &format!("x-collector-key={collector}"))
}

/// Makes channels of every provider to every target, sends to them, mends them and sends again. Their ids.
async fn deliver(witness: &mut Witness, server: &Server, others: &Others) -> Vec<i64> {
    let client = &server.client;
    let mut channels = Vec::new();
    // Those with an address of their own take only the URLs and tokens of their vendor.
    for provider in providers::all().iter().filter(|provider| provider.spec().base_url.is_some()) {
        let config = of_vendor(provider.spec(), &mut witness.canaries);
        let all = Value::Object(config.clone()).to_string();
        for url in config.values().filter_map(|value| url::Url::parse(value.as_str()?).ok()) {
            let redirect = Reply::status(302).header("location", url.as_str());
            others.receiver.script(url.path(), [Reply::echo(500, &all), redirect]);
            others.receiver.always(url.path(), Reply::echo(404, &all));
        }
        channels.push(witness.channel(client, *provider, &config).await);
    }
    for provider in providers::all().iter().filter(|provider| provider.spec().base_url.is_none()) {
        for target in others.targets() {
            let config = whole(provider.spec(), &target, &mut witness.canaries);
            if target.name == "fails" {
                script_failures(&others.receiver, &config);
            } else if let Some(path) = path_of(&config) {
                others.receiver.always(&path, Reply::echo(200, ""));
            }
            channels.push(witness.channel(client, *provider, &config).await);
        }
        // What is left out is the operator's, or is made.
        let [takes, ..] = others.targets();
        let config = least(provider.spec(), &takes, &mut witness.canaries);
        let id = witness.channel(client, *provider, &config).await;
        channels.push(id);
        // A target that is forbidden pauses the channel and names it.
        let mut forbidden = least(provider.spec(), &Target { host: "10.0.0.1", ..takes }, &mut witness.canaries);
        forbidden.extend(provider.spec().field("smtp_host").map(|field| (field.key.to_owned(), json!("10.0.0.1"))));
        channels.push(witness.channel(client, *provider, &forbidden).await);
        // The secret before the present one is kept for a while.
        let change = json!({"config": changed(*provider, &mut witness.canaries)});
        let first = channels[channels.len() - 8];
        witness.ask(client, Method::PATCH, &format!("/v1/channels/{first}"), &change).await.read::<Value>(200);
    }
    settle(witness, client).await;
    for id in &channels {
        witness.ask(client, Method::PATCH, &format!("/v1/channels/{id}"), &json!({"is_active": true})).await;
        witness.ask(client, Method::POST, &format!("/v1/channels/{id}/test"), &Value::Null).await;
    }
    for delivery in client.deliveries("status=dead&limit=200").await {
        let path = format!("/v1/deliveries/{}/retry", delivery.id);
        witness.ask(client, Method::POST, &path, &Value::Null).await;
    }
    settle(witness, client).await;
    let mut attempts = String::new();
    for provider in ["webhook", "email"] {
        attempts += &client.get(&format!("/v1/attempts?limit=200&provider={provider}")).await.text();
    }
    for masked in ["\"provider\":\"webhook\"", "\"provider\":\"email\"", "********", "refused", "redirect"] {
        assert!(attempts.contains(masked), "secrets came back and were struck out: {masked}: {attempts}");
    }
    channels
}

/// Posts an event and waits until no delivery waits or is under way.
async fn settle(witness: &mut Witness, client: &Client) {
    let event = json!({"type": "canary.event", "data": {"title": "A title"}, "severity": "error"});
    let accepted: Accepted = witness.ask(client, Method::POST, "/v1/events", &event).await.read(202);
    assert!(!accepted.deliveries.is_empty());
    eventually("everything is settled", async || {
        let mut waiting = 0;
        for status in ["pending", "retrying"] {
            waiting += client.deliveries(&format!("status={status}")).await.len();
        }
        (waiting == 0).then_some(())
    })
    .await;
}

/// Everything that a receiver can do wrong, with the secrets in it.
fn script_failures(receiver: &Receiver, config: &Map<String, Value>) {
    let Some(path) = path_of(config) else { return };
    let all = Value::Object(config.clone()).to_string();
    let header = all.replace(|c: char| !c.is_ascii_graphic(), "");
    let url = config.values().filter_map(Value::as_str).find(|text| text.contains(&path)).expect("a URL");
    receiver.script(
        &path,
        [
            Reply::echo(500, &all),
            Reply::status(302).header("location", url),
            Reply::status(307).header("location", format!("https://u:{header}@x.test/{header}")),
            Reply::status(429).header("retry-after", "0").header("x-why", header.clone()).body(all.clone()),
            Reply::close(),
            Reply::status(503).header("retry-after", header).body(all.clone()),
        ],
    );
    receiver.always(&path, Reply::echo(410, &all));
}

/// Looks at everything that the server shows, with keys and with a browser.
async fn look_around(witness: &mut Witness, server: &Server, channels: &[i64]) {
    let client = &server.client;
    let imported = witness.canaries.plant_plain("imported-key", Told::Never);
    let scopes = json!(["channels:read", "deliveries:read", "events:read", "channels:write"]);
    let wanted = [json!({"name": "a", "scopes": scopes, "key": imported}), json!({"name": "b", "scopes": scopes})];
    let mut keys = Vec::new();
    for key in wanted {
        // Made once, told once.
        let made: Value = client.post("/v1/tenants/default/keys", &key).await.read(201);
        let secret = made["key"].as_str().expect("a secret").to_owned();
        witness.canaries.learn("API key", &secret, Told::Never);
        keys.push(secret);
    }
    let again = json!({"name": "c", "scopes": scopes, "key": imported});
    witness.ask(client, Method::POST, "/v1/tenants/default/keys", &again).await;
    let unknown = witness.canaries.plant_plain("unknown-key", Told::Never);
    witness.get(&server.client_with(&unknown), "/v1/channels").await.problem(401);

    let mut paths: Vec<String> = [
        "/v1/events",
        "/v1/events/evt_1",
        "/v1/events/evt_2",
        "/v1/channels",
        "/v1/subscriptions",
        "/v1/event-types",
        "/v1/deliveries?limit=200",
        "/v1/attempts?limit=200",
        "/v1/stats",
        "/v1/tenants",
        "/v1/tenants/default",
        "/v1/tenants/default/keys",
        "/metrics",
        "/healthz",
        "/readyz",
        "/v1/attempts?q=canary",
        "/v1/deliveries?q=canary",
    ]
    .map(ToOwned::to_owned)
    .into();
    paths.extend(channels.iter().map(|id| format!("/v1/channels/{id}")));
    paths.extend(channels.iter().map(|id| format!("/v1/events/evt_1/explain?channel_id={id}")));
    let ids = client.get("/v1/deliveries?limit=200").await.read::<Page<Value>>(200).data;
    paths.extend(ids.iter().map(|delivery| format!("/v1/deliveries/{}", delivery["id"])));
    for path in &paths {
        assert_eq!(witness.get(client, path).await.status, 200, "{path}");
    }
    for id in channels {
        let preview = json!({"channel_id": id, "event": {"type": "a", "data": {}},
            "body_template": "{{ channel }} {{ channel.config }} {{ config }} {{ event }}"});
        witness.ask(client, Method::POST, "/v1/channels/preview", &preview).await;
    }
    for key in [ADMIN_KEY, &keys[0], &keys[1]] {
        browse(witness, server, key, &paths).await;
    }
}

/// Signs in and looks at the pages, and at the API as a browser does.
async fn browse(witness: &mut Witness, server: &Server, key: &str, paths: &[String]) {
    let client = server.client_with("");
    let answer = client.send(Method::POST, "/console/sign-in", &[], format!("key={key}")).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    let token = cookie.split_once('=').expect("a value").1;
    witness.canaries.learn("console session", token, Told::Never);
    let pages = ["/console", "/console?tenant=default", "/console/sign-in"].map(ToOwned::to_owned);
    for path in pages.iter().chain(paths) {
        let answer = client.send(Method::GET, path, &[("cookie", &cookie)], "").await;
        witness.note_answer(format!("GET {path} with a session"), &answer, path.starts_with("/v1/channels"));
    }
}

/// What the command line shows, and the backup that it makes.
async fn look_by_command(witness: &mut Witness, setup: &Setup) {
    let folder = tempfile::tempdir().expect("a directory");
    let copy = folder.path().join("copy.db");
    let copy = copy.to_str().expect("a path");
    let commands: [&[&str]; 17] = [
        &["config", "dump"],
        &["config", "dump", "--json"],
        &["config", "check"],
        &["doctor", "--resolve", "localhost"],
        &["doctor", "--json", "--resolve", "localhost"],
        &["why", "evt_1"],
        &["why", "evt_1", "--json"],
        &["deliveries", "--limit", "200"],
        &["deliveries", "--json"],
        &["stats"],
        &["channel", "list"],
        &["channel", "list", "--json"],
        &["channel", "show", "1"],
        &["channel", "test", "1"],
        &["keys", "list"],
        &["tenants", "list"],
        &["backup", "--to", copy],
    ];
    for words in commands {
        let finished = setup.run(words).await;
        let by = format!("postrider {}", words.join(" "));
        assert!(finished.code != Some(2), "{by}: {}", finished.stderr);
        witness.note(by, finished.stdout + &finished.stderr, words[0] == "channel" && words[1] != "test");
    }
    let mut tail = setup.launch(&["tail", "--last", "200"]);
    assert!(soon("an attempt", tail.stdout.line_with("attempt 1")).await.is_some());
    tail.ask_to_stop();
    tail.ended().await;
    witness.note("postrider tail", tail.stdout.text() + &tail.stderr.text(), false);
    witness.note("a backup", std::fs::read(copy).expect("a backup"), false);
}

/// Every byte of the data directory.
fn note_files(witness: &mut Witness, data_dir: &Path, when: &str) {
    let mut count = 0;
    for entry in std::fs::read_dir(data_dir).expect("the data directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            witness.note(format!("the file {} {when}", path.display()), std::fs::read(&path).expect("a file"), false);
            count += 1;
        }
    }
    assert!(count > 1, "there is a database");
}
