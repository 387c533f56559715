//! One operation on the reference page: parameters, fields of the body, examples, answers.

use std::fmt::Write as _;

use maud::{Markup, html};
use serde_json::Value;

use super::text;

/// The operations of one part of the API: path, method and what the document says.
pub(super) fn of_tag<'a>(document: &'a Value, tag: &str) -> Vec<(&'a str, &'a str, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    all.filter(|(.., operation)| operation["tags"][0] == tag).collect()
}

pub(super) fn shown(document: &Value, base: &str, path: &str, method: &str, operation: &Value) -> Markup {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        section id=(text(&operation["operationId"])) {
            h3 { code { (method.to_uppercase()) " " (path) } }
            p { (text(&operation["summary"])) }
            p.quiet { (text(&operation["description"])) }
            @if !parameters.is_empty() {
                h4 { "Parameters" }
                table {
                    thead { tr { th { "Name" } th { "In" } th { "Holds" } th { "" } } }
                    tbody { @for parameter in parameters {
                        tr {
                            td data-label="Name" { code { (text(&parameter["name"])) } }
                            td data-label="In" { (text(&parameter["in"])) }
                            td data-label="Holds" { (holds(document, &parameter["schema"])) }
                            td data-label="About" { (text(&parameter["description"])) }
                        }
                    } }
                }
            }
            @for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                h4 { "Body: " code { (media) } }
                (fields(document, &content["schema"]))
                @for example in content["examples"].as_object().into_iter().flatten() {
                    pre { code { (curl(base, path, method, operation, Some((media, &example.1["value"])))) } }
                }
            }
            @if operation.get("requestBody").is_none() {
                h4 { "Example" }
                pre { code { (curl(base, path, method, operation, None)) } }
            }
            h4 { "Answers" }
            table {
                thead { tr { th { "Status" } th { "" } } }
                tbody { @for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
                    tr {
                        td data-label="Status" { code { (status) } }
                        td data-label="About" { (text(&answer["description"])) }
                    }
                } }
            }
            @for answer in operation["responses"].as_object().into_iter().flatten() {
                @for content in answer.1["content"].as_object().into_iter().flatten() {
                    @if let Some(example) = content.1.get("example") {
                        h4 { "Answer " (answer.0) }
                        (fields(document, &content.1["schema"]))
                        pre { code { (format!("{example:#}")) } }
                    }
                }
            }
        }
    }
}

/// The fields of a schema as a table, with those of its forms below it.
fn fields(document: &Value, schema: &Value) -> Markup {
    let (name, schema) = resolved(document, schema);
    let required =
        |field: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == field));
    let forms = ["oneOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    html! {
        @if let Some(properties) = schema["properties"].as_object() {
            @if let Some(name) = name { p.quiet { (name) } }
            table {
                thead { tr { th { "Field" } th { "Holds" } th { "" } } }
                tbody { @for (field, property) in properties {
                    tr {
                        td data-label="Field" { code { (field) } @if required(field) { " required" } }
                        td data-label="Holds" { (holds(document, property)) }
                        td data-label="About" { (text(&property["description"])) }
                    }
                } }
            }
            @for property in properties.values() { (nested(document, property)) }
        }
        @for form in forms { (fields(document, form)) }
        @if schema["type"] == "array" && schema["items"].is_object() { (fields(document, &schema["items"])) }
    }
}

/// The fields of an object that a field holds. Deliveries and attempts have operations of their own.
fn nested(document: &Value, property: &Value) -> Markup {
    let target = if property["items"].is_object() { &property["items"] } else { property };
    let known = ["Delivery", "Attempt"];
    let (name, _) = resolved(document, target);
    let forms = ["oneOf", "anyOf"].iter().filter_map(|key| target[*key].as_array()).flatten();
    html! {
        @if name.is_some_and(|name| !known.contains(&name)) { (fields(document, target)) }
        @for form in forms { (nested(document, form)) }
    }
}

/// What a reference names, and its name.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> (Option<&'a str>, &'a Value) {
    let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else { return (None, schema) };
    (Some(name), &document["components"]["schemas"][name])
}

/// The kind of a value and its bounds, in words.
fn holds(document: &Value, schema: &Value) -> String {
    if let (Some(name), _) = resolved(document, schema) {
        return name.to_owned();
    }
    let forms = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(forms) = forms {
        return forms.iter().map(|form| holds(document, form)).collect::<Vec<_>>().join(" or ");
    }
    let mut told = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind => text(kind).to_owned(),
    };
    if schema["items"].is_object() {
        let _ = write!(told, " of {}", holds(document, &schema["items"]));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().filter(|value| !value.is_null()).map(text).collect::<Vec<_>>().join(", ");
        let _ = write!(told, ": {values}");
    }
    let bounds = [
        ("format", ""),
        ("const", ""),
        ("minimum", "from "),
        ("maximum", "to "),
        ("minLength", "at least "),
        ("maxLength", "at most "),
        ("maxItems", "at most "),
        ("default", "by default "),
    ];
    for (key, word) in bounds {
        match schema.get(key) {
            Some(Value::String(value)) => drop(write!(told, ", {word}{value}")),
            Some(value @ Value::Number(_)) => drop(write!(told, ", {word}{value}")),
            _ => {}
        }
    }
    told
}

/// The request as a command.
fn curl(base: &str, path: &str, method: &str, operation: &Value, body: Option<(&str, &Value)>) -> String {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |parameter: &Value| match &parameter["example"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut path = path.to_owned();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        path = path.replace(&format!("{{{}}}", text(&parameter["name"])), &value(parameter));
    }
    let needed = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
    let query: Vec<_> = needed.map(|one| format!("{}={}", text(&one["name"]), value(one))).collect();
    if !query.is_empty() {
        let _ = write!(path, "?{}", query.join("&"));
    }
    let mut command = format!("curl -X {} '{base}{path}'", method.to_uppercase());
    if operation.get("security").is_some() {
        command.push_str(" \\\n  -H \"Authorization: Bearer $KEY\"");
    }
    if let Some((media, body)) = body {
        let _ = write!(command, " \\\n  -H 'Content-Type: {media}' \\\n  -d '{body:#}'");
    }
    command
}
