//! One operation of the document: what a route is for, who may, what it takes and what it answers.

use std::collections::BTreeMap;

use domain::tenant::Scope;
use serde_json::{Map, Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, ToSchema};

use super::{reference, register};

type Register = Box<dyn FnOnce(&mut Map<String, Value>)>;

/// Describes one operation; begun with [`Operation::new`] or [`Operation::of_dialect`], ended by the routes.
pub(crate) struct Operation {
    value: Value,
    parameters: Vec<Value>,
    answers: BTreeMap<u16, Value>,
    registers: Vec<Register>,
    scope: Option<Scope>,
    takes_basic: bool,
    refusal: Refusal,
}

/// What refusals look like.
struct Refusal {
    media: &'static str,
    schema: Value,
    /// Whether those that follow from what an operation takes are added by themselves.
    follows: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "examples are made where they are given away")]
impl Operation {
    /// `about` is a line for people.
    pub(crate) fn new(id: &str, tag: &str, about: &str) -> Self {
        let refusal = Refusal { media: "application/problem+json", schema: reference("Problem"), follows: true };
        Self::with_refusals(id, tag, about, refusal)
    }

    /// One of another product's API, whose errors are `E`. Its refusals are those that it names.
    pub(crate) fn of_dialect<E: ToSchema>(id: &str, tag: &str, about: &str) -> Self {
        let refusal = Refusal { media: "application/json", schema: reference(&E::name()), follows: false };
        Self::with_refusals(id, tag, about, refusal).with::<E>()
    }

    fn with_refusals(id: &str, tag: &str, about: &str, refusal: Refusal) -> Self {
        let value = json!({"operationId": id, "tags": [tag], "summary": about});
        Self {
            value,
            parameters: Vec::new(),
            answers: BTreeMap::new(),
            registers: Vec::new(),
            scope: None,
            takes_basic: false,
            refusal,
        }
    }

    /// More about it.
    pub(crate) fn detail(mut self, text: &str) -> Self {
        self.value["description"] = text.into();
        self
    }

    /// What a key needs for it.
    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// The key may also come as the password of HTTP Basic.
    pub(crate) fn takes_basic(mut self) -> Self {
        self.takes_basic = true;
        self
    }

    /// The parameters of the query, from the type that reads them.
    pub(crate) fn query<T: IntoParams>(mut self) -> Self {
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            self.parameters.push(serde_json::to_value(parameter).expect("a parameter is JSON"));
        }
        self
    }

    /// A parameter of the query that is read by hand.
    pub(crate) fn parameter(mut self, name: &str, about: &str, schema: Value, example: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "required": false, "description": about, "schema": schema, "example": example,
        }));
        self
    }

    /// A header that the request may have.
    pub(crate) fn header(mut self, name: &str, about: &str, schema: Value, example: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": about, "schema": schema, "example": example,
        }));
        self
    }

    /// A part of the path that is none of the usual ones.
    pub(crate) fn part(mut self, name: &str, schema: Value, example: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": schema, "example": example,
        }));
        self
    }

    /// A JSON body of one type.
    pub(crate) fn body<T: ToSchema>(self, example: Value) -> Self {
        let schema = reference(&T::name());
        self.with::<T>().media("application/json", schema, vec![("example".to_owned(), example)])
    }

    /// A body of some media type, with named examples.
    pub(crate) fn media(mut self, media: &str, schema: Value, examples: Vec<(String, Value)>) -> Self {
        let examples: Map<_, _> = examples.into_iter().map(|(name, value)| (name, json!({"value": value}))).collect();
        self.value["requestBody"]["required"] = true.into();
        self.value["requestBody"]["content"][media] = json!({"schema": schema, "examples": examples});
        self
    }

    /// A type that a schema names by itself.
    pub(crate) fn with<T: ToSchema>(mut self) -> Self {
        self.registers.push(Box::new(|schemas| drop(register::<T>(schemas))));
        self
    }

    /// An answer of one type.
    pub(crate) fn answers<T: ToSchema>(self, status: u16, about: &str, example: Value) -> Self {
        let schema = reference(&T::name());
        self.with::<T>().answer(status, about, schema, example)
    }

    /// An answer with a page of a list.
    pub(crate) fn page<T: ToSchema>(self, example: Value) -> Self {
        let schema = json!({"type": "object", "required": ["data", "next_cursor"], "properties": {
            "data": {"type": "array", "items": reference(&T::name())},
            "next_cursor": {"type": ["string", "null"], "description": "Null on the last page."},
        }});
        self.with::<T>().answer(200, "A page.", schema, json!({"data": [example], "next_cursor": null}))
    }

    /// A JSON answer of any form.
    pub(crate) fn answer(mut self, status: u16, about: &str, schema: Value, example: Value) -> Self {
        let content = json!({"application/json": {"schema": schema, "example": example}});
        self.answers.insert(status, json!({"description": about, "content": content}));
        self
    }

    /// An answer in another media type.
    pub(crate) fn text(mut self, status: u16, about: &str, media: &str) -> Self {
        let content = json!({media: {"schema": {"type": "string"}}});
        self.answers.insert(status, json!({"description": about, "content": content}));
        self
    }

    /// An answer without a body.
    pub(crate) fn empty(mut self, status: u16, about: &str) -> Self {
        self.answers.insert(status, json!({"description": about}));
        self
    }

    /// A refusal beyond those that follow from what the operation takes.
    pub(crate) fn refuses(mut self, status: u16, about: &str) -> Self {
        let content = json!({self.refusal.media: {"schema": self.refusal.schema}});
        self.answers.insert(status, json!({"description": about, "content": content}));
        self
    }

    /// The operation as the document has it, and all schemas that there are now.
    pub(super) fn finish(mut self, path: &str, mut schemas: Map<String, Value>) -> (Value, Map<String, Value>) {
        for register in std::mem::take(&mut self.registers) {
            register(&mut schemas);
        }
        let has_body = self.value.get("requestBody").is_some();
        let has_query = self.parameters.iter().any(|parameter| parameter["in"] == "query");
        self = self.path_parameters(path);
        let is_found = path.contains('{');
        if let Some(scope) = self.scope {
            self = self.secured(scope);
        }
        let follow = [
            (has_body, 400, "The body is not JSON."),
            (is_found, 404, "There is no such thing, or it is another tenant's."),
            (has_body, 408, "The body took too long to arrive."),
            (has_body, 413, "Larger than a bound that `detail` names."),
            (has_body || has_query, 422, "Fields or parameters are wrong; see `errors`."),
            (self.scope.is_some(), 500, "A fault of the server; its log says more."),
            (self.scope.is_some(), 503, "The database cannot be used now; nothing was kept."),
        ];
        let follows = self.refusal.follows;
        for (_, status, about) in follow.into_iter().filter(|(applies, ..)| *applies && follows) {
            if !self.answers.contains_key(&status) {
                self = self.refuses(status, about);
            }
        }
        let answers: Map<_, _> =
            self.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        self.value["responses"] = answers.into();
        if !self.parameters.is_empty() {
            self.value["parameters"] = self.parameters.into();
        }
        (self.value, schemas)
    }

    fn secured(mut self, scope: Scope) -> Self {
        let more = self.value["description"].as_str().unwrap_or_default();
        self.value["description"] = format!("Scope `{}`. {more}", scope.name()).trim().into();
        self.value["security"] =
            if self.takes_basic { json!([{"login": []}, {"key": []}]) } else { json!([{"key": []}]) };
        if scope != Scope::Platform {
            let about = "The slug of the tenant that a platform key acts for; a tenant's own key may leave it out.";
            self = self.header("Postrider-Tenant", about, json!({"type": "string"}), "default");
            if self.refusal.follows && !self.answers.contains_key(&400) {
                self = self.refuses(400, "The body is not JSON, or a platform key named no tenant.");
            }
        }
        self.refuses(401, "No key, or one that is unknown, revoked or expired.")
            .refuses(403, "The key lacks the scope, is another tenant's, or its tenant is suspended.")
    }

    fn path_parameters(mut self, path: &str) -> Self {
        for name in path.split('{').skip(1).filter_map(|part| part.split('}').next()) {
            if self.parameters.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == name) {
                continue;
            }
            let is_event = path.starts_with("/v1/events/");
            let (schema, example) = match name {
                "id" if is_event => (json!({"type": "string", "pattern": "^evt_[0-9]+$"}), json!("evt_1")),
                "id" => (json!({"type": "integer", "minimum": 1, "maximum": domain::ids::ID_MAX}), json!(1)),
                "slug" => (json!({"type": "string", "pattern": "^[a-z0-9-]{1,63}$"}), json!("acme")),
                _ => (json!({"type": "string"}), json!("invoice.paid")),
            };
            self.parameters.push(json!({
                "name": name, "in": "path", "required": true, "schema": schema, "example": example,
            }));
        }
        self
    }
}
