//! `GET /openapi.json` and `GET /docs`: that the document is valid, complete and true.

mod apart;
mod document;
mod examples;
mod page;

use serde_json::Value;

use crate::harness::Server;

/// The document of a server, asked for without a key.
async fn document(server: &Server) -> Value {
    server.client_with("").get("/openapi.json").await.read(200)
}

/// Every operation: path, method, what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("operations").clone().into_iter();
        methods.map(|(method, operation)| (path.clone(), method, operation)).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

/// What is wrong with a value by a schema of the document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&whole);
    let validator = validator.unwrap_or_else(|error| panic!("{schema} is no schema: {error}"));
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path)).collect()
}
