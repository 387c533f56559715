//! The schemas of channels, which depend on their provider: all of it follows from the providers' SPECs.

use providers::schema;
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
    }
    if let Some(patch) = patch.as_object_mut() {
        patch.remove("required");
    }
    patch["properties"]["config"] =
        json!({"description": "Merged with the config that is there.", "anyOf": all("Patch")});
    patch["description"] = "What is absent stays; null clears.".into();
    schemas.insert("ChannelPatch".to_owned(), patch);

    for (of, suffix) in [("NewChannel", ""), ("Channel", "Shown")] {
        let forms: Vec<_> = specs
            .iter()
            .map(|spec| {
                let config = reference(&format!("{}Config{suffix}", title(spec.name)));
                json!({"title": spec.title, "properties": {"provider": {"const": spec.name}, "config": config}})
            })
            .collect();
        schemas[of]["oneOf"] = forms.into();
    }
    schemas["NewChannel"]["description"] = "A channel to be made.".into();
    schemas["NewChannel"]["required"] = json!(["name", "provider", "config"]);
}

/// A request for each provider, from the examples of its fields.
pub(super) fn examples() -> Vec<(String, Value)> {
    let example = |provider: &&dyn providers::Provider| {
        let spec = provider.spec();
        (spec.name.to_owned(), json!({"name": spec.title, "provider": spec.name, "config": spec.sample()}))
    };
    providers::all().iter().map(example).collect()
}

/// `internal_notification` as the beginning of a schema's name.
fn title(name: &str) -> String {
    let upper = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(upper).collect()
}
