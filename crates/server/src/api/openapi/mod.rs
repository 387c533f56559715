//! The `OpenAPI` 3.1 document of this API, made from the routes' own declarations and the wire types.
//!
//! [`operation`] describes one route, [`words`] says what a field of some name always holds, [`channels`] puts the
//! providers' SPECs into the schemas of channels. The paths are declared in [`super::routes`].

pub(super) mod channels;
pub(super) mod operation;
mod words;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{self, Problem};
use operation::{Operation, TAGS};

/// Everything that was declared: paths with their operations, and the schemas that these name.
#[derive(Default)]
pub(super) struct Declared {
    paths: BTreeMap<String, Map<String, Value>>,
    schemas: Map<String, Value>,
}

impl Declared {
    /// One more operation of a path.
    pub(super) fn add(&mut self, method: &str, path: &str, operation: Operation) {
        let schemas = std::mem::take(&mut self.schemas);
        let (value, schemas) = operation.finish(path, schemas);
        self.schemas = schemas;
        self.paths.entry(path.to_owned()).or_default().insert(method.to_owned(), value);
    }

    /// The document, all but its `servers`.
    pub(super) fn document(mut self) -> Value {
        register::<Problem>(&mut self.schemas);
        let types = problem::TYPES.map(|name| format!("urn:postrider:{name}"));
        self.schemas["Problem"]["properties"]["type"]["enum"] = types.to_vec().into();
        channels::by_provider(&mut self.schemas);
        for (name, schema) in &mut self.schemas {
            words::fill_in(name, schema);
        }
        let tags: Vec<_> = TAGS.iter().map(|(name, about)| json!({"name": name, "description": about})).collect();
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Postrider",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Accepts an event once and delivers it to every channel that should hear of it.",
                "license": {"name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE")},
            },
            "tags": tags,
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "securitySchemes": {"key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of a tenant, within its scopes, or a platform key. Calls over the socket in the \
                                    data directory need none.",
                }},
            },
        })
    }
}

/// Puts the schema of `T`, and of what it is made of, among `schemas`; its reference.
fn register<T: ToSchema>(schemas: &mut Map<String, Value>) -> Value {
    let name = T::name().into_owned();
    if !schemas.contains_key(&name) {
        let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
        <T as ToSchema>::schemas(&mut parts);
        parts.push((name.clone(), <T as PartialSchema>::schema()));
        for (name, schema) in parts {
            schemas.entry(name).or_insert_with(|| serde_json::to_value(schema).expect("a schema is JSON"));
        }
    }
    reference(&name)
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
