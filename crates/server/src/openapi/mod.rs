//! The `OpenAPI` 3.1 document of everything that is served, made from the routes' own declarations and the wire types.
//!
//! A face declares its routes with [`Routes`], each with its [`Operation`]; there is no other way to make a route, so none
//! is missing in the document. [`reference`] serves it. What a face wants to say of its schemas and parameters beyond
//! their types, it adds to its [`Declared`] itself.

mod operation;
pub(crate) mod reference;
mod routes;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub(crate) use operation::Operation;
pub(crate) use routes::Routes;

/// Everything that a face declared: its parts, paths with their operations, and the schemas that these name.
#[derive(Default)]
pub(crate) struct Declared {
    /// Name, and what it is about.
    tags: Vec<(String, String)>,
    paths: BTreeMap<String, Map<String, Value>>,
    schemas: Map<String, Value>,
}

impl Declared {
    /// One more part, after those before it.
    pub(crate) fn tag(&mut self, name: &str, about: &str) {
        self.tags.push((name.to_owned(), about.to_owned()));
    }

    /// One more operation of a path.
    fn add(&mut self, method: &str, path: &str, operation: Operation) {
        let schemas = std::mem::take(&mut self.schemas);
        let (value, schemas) = operation.finish(path, schemas);
        self.schemas = schemas;
        self.paths.entry(path.to_owned()).or_default().insert(method.to_owned(), value);
    }

    /// Registers a type that no operation names by itself.
    pub(crate) fn register<T: ToSchema>(&mut self) {
        register::<T>(&mut self.schemas);
    }

    /// The schemas so far, by name.
    pub(crate) fn schemas_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.schemas
    }

    /// Calls `change` with each parameter of a query and the id of its operation.
    pub(crate) fn change_parameters(&mut self, change: impl Fn(&str, &mut Value)) {
        for operation in self.paths.values_mut().flat_map(Map::values_mut) {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            let of_query = parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "query");
            of_query.for_each(|parameter| change(&id, parameter));
        }
    }

    /// What both declared.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.tags.extend(other.tags);
        for (path, methods) in other.paths {
            self.paths.entry(path).or_default().extend(methods);
        }
        self.schemas.extend(other.schemas);
        self
    }

    /// The document, all but its `servers`.
    pub(crate) fn document(self) -> Value {
        let tags: Vec<_> = self.tags.iter().map(|(name, about)| json!({"name": name, "description": about})).collect();
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
                }, "login": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The same key as a password. The user is the name that the key was given, if it was given \
                                    one, else any.",
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

/// A reference to a schema by name.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
