//! The table in `docs/dialects/README.md`, field by dialect, against a server.
//!
//! A channel is made through each face and filled in v1. Then every cell is tried on a channel of its own: an editable
//! one must change what every face shows of its field and nothing else, any other nothing at all.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use self::faces::Face;
use self::samples::{SAMPLES, filled, provider_of};
use crate::harness::{Client, Setup};

mod faces;
mod samples;

const TABLE: &str = include_str!("../../../../../docs/dialects/README.md");

/// One cell: what a face does with a field, and what it calls it there.
#[derive(Clone, Debug)]
struct Cell {
    word: String,
    names: Vec<String>,
}

/// Each field with its cells, in the order of [`Face::ALL`].
fn rows() -> Vec<(String, Vec<Cell>)> {
    let lines = TABLE.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = lines.map(row).collect();
    assert!(rows.len() > 30, "the table was not found");
    rows
}

fn row(line: &str) -> (String, Vec<Cell>) {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    let field = cells.next().unwrap().trim_matches('`').to_owned();
    let cell = |text: &str| {
        let word = text.split(' ').next().unwrap().to_owned();
        assert!(["editable", "shown", "kept", "none"].contains(&word.as_str()), "{line}");
        let named: Vec<_> = text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        Cell { word, names: if named.is_empty() { vec![field.clone()] } else { named } }
    };
    let cells: Vec<_> = cells.map(cell).collect();
    assert_eq!(cells.len(), Face::ALL.len(), "{line}");
    (field, cells)
}

impl Cell {
    fn is_shown(&self) -> bool {
        self.word == "editable" || self.word == "shown"
    }
}

/// What a face calls what it shows, and the fields that each name is about.
fn shown_by(face: Face) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (field, cells) in rows() {
        for name in cells[face as usize].names.iter().filter(|_| cells[face as usize].is_shown()) {
            names.entry(name.clone()).or_default().insert(field.clone());
        }
    }
    names
}

/// What every face shows of a channel, by face and name.
async fn views(client: &Client, id: i64) -> BTreeMap<(Face, String), Value> {
    let mut all = BTreeMap::new();
    for face in Face::OF_CHANNELS {
        let flat = face.show(client, id).await.map(flat).unwrap_or_default();
        all.extend(flat.into_iter().map(|(name, value)| ((face, name), value)));
    }
    all
}

/// A row with the keys of its config as keys of its own.
fn flat(row: Map<String, Value>) -> Map<String, Value> {
    let one = |(name, value): (String, Value)| match (name.as_str(), value) {
        ("config" | "settings", Value::Object(inner)) => {
            inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect()
        }
        (_, value) => vec![(name, value)],
    };
    row.into_iter().flat_map(one).collect()
}

/// A tenant of its own, on a server that can send mail.
async fn start() -> (crate::harness::Server, Client) {
    let setup = Setup::new()
        .set("POSTRIDER_SMTP__URL", "smtp://127.0.0.1:9")
        .set("POSTRIDER_SMTP__FROM", "postrider@example.com")
        .set("POSTRIDER_ALTUM__REQUESTS_PER_MINUTE", "1000000");
    let server = setup.start().await;
    let tenant = json!({"name": "Acme", "email": "owner@acme.test"});
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], tenant.to_string()).await.read::<Value>(200);
    let key = server.client.create_key("acme", &["channels:read", "channels:write", "events:write"]).await.key;
    let client = server.client_with(&key.expect("a new key is shown"));
    (server, client)
}

/// A channel that this face makes, every field of it filled.
async fn made_by(client: &Client, face: Face, provider: &str) -> i64 {
    let id = face.create(client, provider).await;
    client.patch(&format!("/v1/channels/{id}"), &filled(provider)).await.read::<Value>(200);
    id
}

#[tokio::test]
async fn each_face_shows_what_the_table_says_and_no_more() {
    let (_server, client) = start().await;
    let mut seen: BTreeMap<Face, BTreeSet<String>> = BTreeMap::new();
    for provider in ["webhook", "email", "microsoft_teams"] {
        for maker in Face::OF_CHANNELS.into_iter().filter(|face| face.makes(provider)) {
            let id = made_by(&client, maker, provider).await;
            for (face, name) in views(&client, id).await.into_keys() {
                seen.entry(face).or_default().insert(name);
            }
            for face in Face::OF_CHANNELS.into_iter().filter(|face| face.makes(provider)) {
                assert!(face.show(&client, id).await.is_some(), "{face:?} does not show what {maker:?} made");
            }
        }
    }
    let settings: Value = client.get(faces::AETHER).await.read(200);
    seen.insert(Face::Aether365, settings["data"].as_object().unwrap().keys().cloned().collect());
    for face in Face::ALL {
        let expected: BTreeSet<String> = shown_by(face).into_keys().collect();
        assert_eq!(seen[&face], expected, "{face:?}");
    }
    // There is no such thing where no channel has it, and only there.
    for (field, cells) in rows().into_iter().filter(|(_, cells)| cells[0].word != "none") {
        let provider = provider_of(&field);
        for face in Face::ALL {
            let has_it = face.makes(provider) || (face == Face::Aether365 && !field.starts_with("config."));
            let is_steered = face == Face::Aether365 && provider != "webhook";
            assert_eq!(cells[face as usize].word != "none", has_it || is_steered, "{field} in {face:?}");
        }
    }
}

#[tokio::test]
async fn each_face_edits_what_the_table_says_and_keeps_the_rest() {
    let (_server, client) = start().await;
    let mut untried: BTreeSet<_> = SAMPLES.iter().map(|(face, name, _)| (*face, *name)).collect();
    for (field, cells) in rows() {
        let provider = provider_of(&field);
        for maker in Face::OF_CHANNELS.into_iter().filter(|face| face.makes(provider)) {
            for face in Face::OF_CHANNELS.into_iter().filter(|face| face.makes(provider)) {
                let cell = &cells[face as usize];
                for name in &cell.names {
                    let sample = SAMPLES.iter().find(|(of, named, _)| *of == face && named == name);
                    untried.retain(|one| *one != (face, name.as_str()));
                    let id = made_by(&client, maker, provider).await;
                    let before = views(&client, id).await;
                    let value = sample.map_or_else(|| json!("elsewhere"), |(.., value)| value());
                    let status = face.edit(&client, id, name, &value).await;
                    let context = format!("{field} of {maker:?}'s {provider}, as {name} in {face:?}: {status}");
                    let after = views(&client, id).await;
                    if cell.word == "editable" {
                        assert!(sample.is_some() && status < 300, "{context}");
                        check_changed(&shown_by(face)[name], &before, &after, &context);
                    } else {
                        check_changed(&BTreeSet::new(), &before, &after, &context);
                    }
                }
            }
        }
    }
    assert!(untried.is_empty(), "no cell is editable by these names: {untried:?}");
}

/// Every view of these fields differs, as far as it is no mask, and no other does.
fn check_changed(
    fields: &BTreeSet<String>,
    before: &BTreeMap<(Face, String), Value>,
    after: &BTreeMap<(Face, String), Value>,
    context: &str,
) {
    // Another provider brings another config, and another format is none of Thulium's.
    let is_config = |name: &str| name.contains('.');
    let shown: BTreeMap<_, _> = Face::OF_CHANNELS.map(|face| (face, shown_by(face))).into();
    let (other_provider, other_format) = (fields.contains("provider"), fields.contains("config.format"));
    for key in before.keys().chain(after.keys()) {
        let (face, name) = key;
        if (*face == Face::Thulium && (other_provider || other_format)) || (other_provider && is_config(name)) {
            continue;
        }
        // A config of Lenz keeps also what nobody knows; the test above sees to what is there without that.
        let Some(of) = shown[face].get(name) else { continue };
        let has_changed = before.get(key) != after.get(key);
        let is_about = of.iter().any(|field| fields.contains(field));
        let is_hidden = before.get(key).is_some_and(|value| value.to_string().contains("***"));
        // These follow from others.
        let may_change = is_about || of.contains("updated_at") || of.contains("warnings");
        assert!(may_change || !has_changed, "{context}: {key:?} {:?} -> {:?}", before.get(key), after.get(key));
        // Of several fields in one edit each need not change, nor what shows a part of its field only.
        let is_part = name.starts_with("batch_") || name == "config.use_tls";
        let must_change = is_about && fields.len() == 1 && !is_hidden && !is_part;
        assert!(has_changed || !must_change, "{context}: {key:?} is still {:?}", before.get(key));
    }
}

#[tokio::test]
async fn aether_steers_what_the_table_says_and_nothing_else() {
    let (_server, client) = start().await;
    let other = made_by(&client, Face::V1, "microsoft_teams").await;
    let untouched = views(&client, other).await;
    let start = json!({"teamsWebhookUrl": "https://teams.test/first", "teamsOnComplete": true, "teamsOnFail": true});
    client.patch(faces::AETHER, &start).await.read::<Value>(200);
    let steered = async || {
        let page: Value = client.get("/v1/channels").await.read(200);
        let rows: Vec<Value> = page["data"].as_array().unwrap().clone();
        rows.into_iter()
            .filter(|row| row["managed"] == true)
            .map(|row| flat(row.as_object().unwrap().clone()))
            .collect::<Vec<_>>()
    };
    for (name, fields) in shown_by(Face::Aether365) {
        let before = steered().await;
        assert_eq!(before.len(), 2);
        let value = if name == "teamsWebhookUrl" { json!("https://other.test/second") } else { json!(false) };
        client.patch(faces::AETHER, &json!({&name: value})).await.read::<Value>(200);
        let after = steered().await;
        let changed = before.iter().zip(&after).flat_map(|(before, after)| {
            after.iter().filter(|(key, value)| before.get(*key) != Some(value)).map(|(key, _)| key.clone())
        });
        let changed: BTreeSet<String> = changed.filter(|key| key != "updated_at").collect();
        assert_eq!(changed, fields, "{name}");
    }
    // Nobody else shows or edits such a channel.
    for channel in steered().await {
        let id = channel["id"].as_i64().unwrap();
        for face in [Face::Altum, Face::Thulium, Face::Lenz] {
            assert!(face.show(&client, id).await.is_none(), "{face:?}");
        }
        for (_, name, value) in SAMPLES.iter().filter(|(face, ..)| *face == Face::V1) {
            assert!(Face::V1.edit(&client, id, name, &value()).await >= 400, "{name}");
        }
    }
    assert_eq!(views(&client, other).await, untouched);
}
