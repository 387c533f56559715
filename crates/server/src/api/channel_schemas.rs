//! The schemas of channels, which depend on their provider: all of it follows from the providers' SPECs.

use providers::{Spec, schema};
use serde_json::{Map, Value, json};

use crate::openapi::reference;

/// Gives the schemas of channels a form for each provider, and makes the one of a change.
pub(super) fn by_provider(schemas: &mut Map<String, Value>) {
    let specs: Vec<_> = providers::all().iter().map(|provider| provider.spec()).collect();
    for spec in &specs {
        let name = title(spec.name);
        schemas.insert(format!("{name}Config"), schema::given(spec));
        schemas.insert(format!("{name}ConfigPatch"), schema::changed(spec));
        schemas.insert(format!("{name}ConfigShown"), schema::shown(spec));
    }
    let all = |suffix: &str| -> Vec<_> {
        specs.iter().map(|spec| reference(&format!("{}Config{suffix}", title(spec.name)))).collect()
    };
    let mut patch = schemas["NewChannel"].clone();
    if let Some(properties) = patch["properties"].as_object_mut() {
        properties.remove("provider");
        properties.remove("url");
    }
    if let Some(patch) = patch.as_object_mut() {
        patch.remove("required");
    }
    patch["properties"]["config"] =
        json!({"description": "Merged with the config that is there.", "anyOf": all("Patch")});
    patch["description"] = "What is absent stays; null clears.".into();
    schemas.insert("ChannelPatch".to_owned(), patch);

    let forms = |suffix: &str, required: &Value| -> Vec<_> {
        let form = |spec: &&Spec| {
            let config = reference(&format!("{}Config{suffix}", title(spec.name)));
            let properties = json!({"provider": {"const": spec.name}, "config": config});
            json!({"title": spec.title, "properties": properties, "required": required})
        };
        specs.iter().map(form).collect()
    };
    schemas["Channel"]["oneOf"] = forms("Shown", &json!(["provider", "config"])).into();
    let mut new = forms("", &json!(["name", "provider", "config"]));
    let alone = json!({"url": {"type": "string"}, "provider": {"type": "null"}, "config": {"type": "null"}});
    new.push(json!({"title": "A pasted URL", "properties": alone, "required": ["url"]}));
    schemas["NewChannel"]["oneOf"] = new.into();
    schemas["NewChannel"]["description"] = "A channel to be made.".into();
}

/// A request for each provider, from the examples of its fields.
pub(super) fn examples() -> Vec<(String, Value)> {
    let example = |provider: &&dyn providers::Provider| {
        let spec = provider.spec();
        (spec.name.to_owned(), json!({"name": spec.title, "provider": spec.name, "config": spec.sample()}))
    };
    let pasted = ("url".to_owned(), json!({"url": "discord://223704706495545344/3d89bb7572e0fb30d8128367b3b1b44f"}));
    providers::all().iter().map(example).chain([pasted]).collect()
}

/// `internal_notification` as the beginning of a schema's name.
fn title(name: &str) -> String {
    let upper = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(upper).collect()
}
