//! A provider's fields on the command line: `FIELD=VALUE`, checked and explained by its SPEC.

use providers::{Field, Spec};
use serde_json::{Map, Value};

use crate::cli::exit::Failure;
use crate::cli::input::value;

/// The config that `FIELD=VALUE` arguments say. An empty value stands for none.
pub(super) fn config(spec: &Spec, given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut config = Map::new();
    for argument in given {
        let Some((key, text)) = argument.split_once('=') else {
            return Err(Failure::usage(format!("{argument:?} is not FIELD=VALUE, like {}", example(spec))));
        };
        put(spec, &mut config, key, &value(text)?)?;
    }
    Ok(config)
}

/// The fields that must be there and are not.
pub(super) fn check_complete(spec: &Spec, config: &Map<String, Value>) -> Result<(), Failure> {
    let is_missing = |field: &&Field| field.required && config.get(field.key).is_none_or(Value::is_null);
    let missing: Vec<String> =
        spec.fields.iter().filter(is_missing).map(|field| format!("{}={}", field.key, field.example)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!("a {} channel needs more fields, like {}", spec.name, missing.join(" "))))
}

/// Sets one field. A part of a field that holds an object is named after a dot, like `headers.x-team`.
fn put(spec: &Spec, config: &mut Map<String, Value>, key: &str, text: &str) -> Result<(), Failure> {
    if let Some(field) = spec.field(key) {
        config.insert(key.to_owned(), typed(field, text));
        return Ok(());
    }
    if let Some((outer, inner)) = key.split_once('.')
        && let Some(field) = spec.field(outer)
        && field.sample().is_object()
    {
        let object = config.entry(outer).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(object) = object {
            object.insert(inner.to_owned(), if text.is_empty() { Value::Null } else { Value::from(text) });
            return Ok(());
        }
    }
    let known: Vec<&str> = spec.fields.iter().map(|field| field.key).collect();
    Err(Failure::usage(format!("{} has no field {key:?}; it has {}", spec.name, known.join(", "))))
}

/// The value in the form of the field's example. What does not fit is for the server to refuse, which says why.
fn typed(field: &Field, text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if field.sample().is_string() {
        return Value::from(text);
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn example(spec: &Spec) -> String {
    spec.fields.first().map_or_else(String::new, |field| format!("{}={}", field.key, field.example))
}

/// The fields, for `--help`.
pub(super) fn help(spec: &Spec) -> String {
    let mut lines = vec![format!("Fields of {} (FIELD=VALUE; @FILE as the value reads a file):", spec.name)];
    for field in spec.fields {
        let marks = match (field.required, field.secret) {
            (true, _) => " (required)",
            (false, true) => " (secret)",
            (false, false) => "",
        };
        lines.push(format!("  {}{marks}\n      {}", field.key, field.help));
        let example = if field.sample().is_object() {
            format!("{}.NAME=VALUE, or {}='{}'", field.key, field.key, field.example)
        } else {
            format!("{}={}", field.key, shell_word(field.example))
        };
        lines.push(format!("      {example}"));
    }
    lines.join("\n")
}

/// A text as it is typed into a shell.
fn shell_word(text: &str) -> String {
    let is_plain = text.chars().all(|it| it.is_alphanumeric() || "-_./:@%+=,".contains(it));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::exit::Exit;

    fn spec() -> &'static Spec {
        providers::find("webhook").expect("there").spec()
    }

    fn given(arguments: &[&str]) -> Result<Map<String, Value>, Failure> {
        config(spec(), &arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn fields_take_the_form_of_their_spec() {
        let check = |arguments: &[&str], expected: Value| assert_eq!(Value::from(given(arguments).unwrap()), expected);
        check(&["url=https://a.test/?b=c"], json!({"url": "https://a.test/?b=c"}));
        check(&["headers.x-a=1", "headers.x-b="], json!({"headers": {"x-a": "1", "x-b": null}}));
        check(&[r#"headers={"x-a": "1"}"#], json!({"headers": {"x-a": "1"}}));
        check(&["basic_user=123", "secret="], json!({"basic_user": "123", "secret": null}));
        check(&["basic_password=@@home"], json!({"basic_password": "@home"}));
    }

    #[test]
    fn what_the_spec_does_not_know_is_refused() {
        let check = |argument: &str, part: &str| {
            let failure = given(&[argument]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            let message = failure.message().unwrap();
            assert!(message.contains(part), "{message}");
        };
        check("https://a.test", "FIELD=VALUE");
        check("uri=x", "it has url, format");
        check("url.x=x", "has no field");
        let failure = check_complete(spec(), &given(&["format=form"]).unwrap()).unwrap_err();
        assert!(failure.message().unwrap().contains("url=https://"));
        check_complete(spec(), &given(&["url=x"]).unwrap()).unwrap();
    }

    #[test]
    fn help_tells_every_field() {
        for provider in providers::all() {
            let spec = provider.spec();
            let help = help(spec);
            assert!(spec.fields.iter().all(|field| help.contains(field.key) && help.contains(field.help)), "{help}");
        }
    }
}
