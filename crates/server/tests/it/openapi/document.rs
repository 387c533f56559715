//! The document itself: valid, and neither more nor less than the routes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use http::Method;
use serde_json::{Value, json};

use super::{document, faults, operations};
use crate::harness::Setup;

/// Where `scripts/test` puts the validator; the same folder as the mail server of the tests.
fn python() -> String {
    let binary = Path::new(crate::harness::BINARY);
    let found = binary.ancestors().map(|folder| folder.join("test-tools/venv/bin/python")).find(|path| path.exists());
    found.expect("scripts/test installs the validator").to_string_lossy().into_owned()
}

#[tokio::test]
async fn it_is_openapi_3_1() {
    let server = Setup::new().start().await;
    let document = document(&server).await;
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let script = "import json, sys; from openapi_spec_validator import OpenAPIV31SpecValidator as V\n\
                  errors = [str(e)[:2000] for e in V(json.load(sys.stdin)).iter_errors()]\n\
                  print('\\n'.join(errors)); sys.exit(len(errors) > 0)";
    let mut validator = Command::new(python())
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut stdin = validator.stdin.take().expect("it is piped");
    stdin.write_all(document.to_string().as_bytes()).expect("it reads the document");
    drop(stdin);
    let output = validator.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn the_server_is_named_as_the_client_or_the_operator_names_it() {
    let server = Setup::new().start().await;
    assert_eq!(document(&server).await["servers"], json!([{"url": format!("http://{}", server.address)}]));
    let server = Setup::new().set("POSTRIDER_SERVER__PUBLIC_URL", "https://post.example.com").start().await;
    assert_eq!(document(&server).await["servers"], json!([{"url": "https://post.example.com"}]));
}

/// What a path answers to a method that it does not know. Dialects answer as the originals do.
fn no_such_method(path: &str) -> u16 {
    if path.starts_with("/api/notification-handlers") { 404 } else { 405 }
}

#[tokio::test]
async fn each_path_knows_exactly_the_documented_methods() {
    let server = Setup::new().start().await;
    let document = document(&server).await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete =
            path.replace("{id}", "1").replace("{slug}", "nobody").replace("{type}", "no.type").replace("{token}", "x");
        let answer = server.client.send(Method::OPTIONS, &concrete, &[], "").await;
        assert_eq!(answer.status.as_u16(), no_such_method(path), "{path}");
        let allowed = answer.header("allow").unwrap_or_default();
        let allowed: BTreeSet<_> =
            allowed.split(',').filter(|method| *method != "HEAD").map(str::to_ascii_lowercase).collect();
        let documented: BTreeSet<_> = methods.as_object().unwrap().keys().cloned().collect();
        assert_eq!(allowed, documented, "{path}");
    }
}

/// The routes of the faces come from one place, which takes no route without its operation.
#[test]
fn routes_are_made_in_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.join("api"), source.join("dialects")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let is_made = std::fs::read_to_string(&path).unwrap().contains(".route(");
                assert!(!is_made, "{}: make routes with openapi::Routes", path.display());
            }
        }
    }
}

#[tokio::test]
async fn what_needs_a_key_says_so_and_which_scope() {
    let server = Setup::new().start().await;
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
    let scopes = [
        "events:write",
        "events:read",
        "channels:read",
        "channels:write",
        "deliveries:read",
        "deliveries:write",
        "inbox",
    ];
    let document = document(&server).await;
    for (path, method, operation) in operations(&document) {
        let says = operation["description"].as_str().unwrap_or_default();
        let scope = says.strip_prefix("Scope `").and_then(|rest| rest.split('`').next());
        // What tells how the server is doing is for everybody, and a link in a mail for whoever has it.
        let is_open = operation["tags"][0] == "health" || path.starts_with("/u/");
        assert_eq!(scope.is_some(), !is_open, "{method} {path}");
        let Some(scope) = scope else { continue };
        let without: Vec<_> = scopes.into_iter().filter(|name| *name != scope).collect();
        let key = server.client.create_key("acme", &without).await;
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        let concrete =
            path.replace("{id}", "1").replace("{slug}", "acme").replace("{type}", "no.type").replace("{token}", "x");
        let send = async |key: &str| server.client_with(key).send(method.clone(), &concrete, &[], "").await;
        let refused = [send("").await, send(key.key.as_deref().unwrap_or_default()).await];
        let statuses = refused.each_ref().map(|answer| answer.status.as_u16());
        assert_eq!(statuses, [401, 403], "{method} {path}");
        assert!(refused[1].text().contains(scope), "{method} {path}: {}", refused[1].text());
        for answer in refused {
            let documented = &operation["responses"][answer.status.as_str()]["content"];
            let (media, content) = documented.as_object().and_then(|content| content.iter().next()).unwrap();
            assert_eq!(answer.header("content-type"), Some(media.as_str()), "{method} {path}");
            let faults = faults(&document, &content["schema"], &answer.read(answer.status.as_u16()));
            assert!(faults.is_empty(), "{method} {path}: {faults:#?}");
        }
    }
}

#[tokio::test]
async fn every_answer_example_is_one() {
    let server = Setup::new().start().await;
    let document = document(&server).await;
    for (path, method, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            for (media, content) in answer["content"].as_object().into_iter().flatten() {
                if let Some(example) = content.get("example") {
                    let faults = faults(&document, &content["schema"], example);
                    assert!(faults.is_empty(), "{method} {path} {status} {media}: {faults:#?}");
                }
            }
        }
    }
}
