//! The way between notification handlers and channels: types to providers, form fields to configs, and back.
//!
//! A type has the name of its provider, and a handler's `settings` have the names of its form fields. The address of a
//! webhook is all of its URL, so the user name and password that a channel keeps beside it stand in it here.

use engine::ops::{ChannelEdit, ChannelShown, ConfigEdit, NewChannel};
use providers::FieldError;
use serde_json::{Map, Value, json};
use url::Url;

use super::wire::{HandlerOut, Settings, datetime};
use crate::http::form::Form;

/// The name of this API in what is stored.
const DIALECT: &str = "altum";

/// A type of handlers.
#[derive(Debug)]
pub(super) struct Kind {
    /// Also of its provider.
    pub(super) name: &'static str,
    fields: &'static [Field],
}

/// One field of a type.
#[derive(Debug)]
struct Field {
    /// In forms and in `settings`.
    name: &'static str,
    /// In a channel's config.
    key: &'static str,
    /// The original cuts longer ones off without a word; here they are refused. `None`: as the provider has it.
    chars_max: Option<usize>,
}

const fn field(name: &'static str, key: &'static str) -> Field {
    Field { name, key, chars_max: None }
}

/// A field of a table column with 512 characters.
const fn short(name: &'static str, key: &'static str) -> Field {
    Field { name, key, chars_max: Some(512) }
}

/// Every type, in the order of the original's documentation.
const KINDS: [Kind; 9] = [
    Kind { name: "email", fields: &[short("email", "to")] },
    Kind { name: WEBHOOK, fields: &[short(WEBHOOK, URL)] },
    Kind { name: "slack", fields: &[field("slack", "webhook_url")] },
    Kind { name: "discord", fields: &[field("discord", "webhook_url")] },
    Kind { name: "telegram", fields: &[field("telegram", "bot_token"), field("telegram_chat_id", "chat_id")] },
    Kind { name: "microsoft_teams", fields: &[field("microsoft_teams", "webhook_url")] },
    Kind {
        name: "x",
        fields: &[
            field("x_consumer_key", "consumer_key"),
            field("x_consumer_secret", "consumer_secret"),
            field("x_access_token", "access_token"),
            field("x_access_token_secret", "access_token_secret"),
        ],
    },
    Kind { name: "google_chat", fields: &[field("google_chat", "webhook_url")] },
    // A field of its name may be sent, and says nothing.
    Kind { name: "internal_notification", fields: &[] },
];

/// The providers that this API has a type for.
pub(super) const PROVIDERS: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut position = 0;
    while position < names.len() {
        names[position] = KINDS[position].name;
        position += 1;
    }
    names
};

const WEBHOOK: &str = "webhook";
const URL: &str = "url";
const BASIC_USER: &str = "basic_user";
const BASIC_PASSWORD: &str = "basic_password";

/// What receivers of this API's webhooks parse.
const FORMAT: (&str, &str) = ("format", "form");

impl Kind {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        static ALL: [Kind; KINDS.len()] = KINDS;
        ALL.iter().find(|kind| kind.name == name)
    }

    /// The fields of this type in a form, as a config.
    fn config(&self, form: &Form, errors: &mut Vec<FieldError>) -> Map<String, Value> {
        let mut config = Map::new();
        for field in self.fields {
            let Some(text) = form.text(field.name) else { continue };
            if let Some(max) = field.chars_max.filter(|max| text.chars().count() > *max) {
                errors.push(wrong(field.name, format!("must be at most {max} characters long")));
            }
            config.insert(field.key.to_owned(), text.into());
        }
        config
    }

    /// The whole config of a channel that becomes one of this type.
    fn whole_config(&self, form: &Form, errors: &mut Vec<FieldError>) -> Map<String, Value> {
        let mut config = self.config(form, errors);
        if self.name == WEBHOOK {
            config.insert(FORMAT.0.to_owned(), FORMAT.1.into());
        }
        config
    }

    /// What changes in the config of a channel that is one of this type already.
    fn patch(&self, form: &Form, errors: &mut Vec<FieldError>) -> Map<String, Value> {
        let mut patch = self.config(form, errors);
        let url = patch.get(URL).and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
        // A URL with credentials brings its own; they must not go to another address than their own.
        if self.name == WEBHOOK && url.is_some_and(|url| url.username().is_empty() && url.password().is_none()) {
            patch.extend([BASIC_USER, BASIC_PASSWORD].map(|key| (key.to_owned(), Value::Null)));
        }
        patch
    }

    fn settings(&self, config: &Map<String, Value>) -> Settings {
        let text = |field: &Field| match config.get(field.key) {
            Some(Value::String(text)) if self.name == WEBHOOK => with_credentials(text, config),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            _ => String::new(),
        };
        Settings(self.fields.iter().map(|field| (field.name, text(field))).collect())
    }
}

fn with_credentials(url: &str, config: &Map<String, Value>) -> String {
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let with = |user: &str| {
        let mut url = Url::parse(url).ok()?;
        url.set_username(user).ok()?;
        url.set_password(text(BASIC_PASSWORD)).ok()?;
        Some(String::from(url))
    };
    text(BASIC_USER).and_then(with).unwrap_or_else(|| url.to_owned())
}

fn wrong(field: &str, message: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), message: message.into() }
}

/// What errors of an operation say, with the fields' names in this API.
pub(super) fn in_words_of(kind: Option<&Kind>, mut errors: Vec<FieldError>) -> Vec<FieldError> {
    for error in &mut errors {
        let named = error.field.strip_prefix("config.").and_then(|key| {
            let fields = kind?.fields;
            fields.iter().find(|field| field.key == key).or(fields.first())
        });
        match named {
            Some(field) => field.name.clone_into(&mut error.field),
            None if error.field == "provider" => "type".clone_into(&mut error.field),
            None => {}
        }
    }
    errors
}

/// What means on, and what off. The original's own cast takes `true` for off; nobody means that.
pub(super) fn read_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" | "" => Some(false),
        _ => None,
    }
}

fn switch(form: &Form, errors: &mut Vec<FieldError>) -> Option<bool> {
    let read = read_switch(form.text("is_enabled")?);
    if read.is_none() {
        errors.push(wrong("is_enabled", "must be 1 or 0, true or false, on or off, yes or no"));
    }
    read
}

fn name(form: &Form, errors: &mut Vec<FieldError>) -> Option<String> {
    let name = form.text("name")?;
    if name.trim().is_empty() {
        errors.push(wrong("name", "is required"));
    }
    Some(name.to_owned())
}

/// The type that a form names.
fn kind(form: &Form, errors: &mut Vec<FieldError>) -> Option<&'static Kind> {
    let found = Kind::find(form.text("type")?);
    if found.is_none() {
        errors.push(wrong("type", format!("must be one of {}", PROVIDERS.join(", "))));
    }
    found
}

/// The type that an error is about: the one that the form names, else the present one.
pub(super) fn kind_of(form: &Form, before: Option<&ChannelShown>) -> Option<&'static Kind> {
    let present = || before.and_then(|shown| Kind::find(&shown.live.channel.settings.provider));
    form.text("type").and_then(Kind::find).or_else(present)
}

/// The fields of every type, as the document describes them.
pub(super) fn form_properties() -> Value {
    let text = || json!({"type": "string"});
    let mut properties = Map::new();
    properties.insert("name".to_owned(), json!({"type": "string", "maxLength": domain::channel::NAME_CHARS_MAX}));
    properties.insert("type".to_owned(), json!({"type": "string", "enum": PROVIDERS}));
    for kind in &KINDS {
        for field in kind.fields {
            let mut property = text();
            property["description"] = format!("With the type {}.", kind.name).into();
            if let Some(max) = field.chars_max {
                property["maxLength"] = max.into();
            }
            properties.insert(field.name.to_owned(), property);
        }
    }
    let switch = json!({"type": "string", "description": "1, true, on or yes; 0, false, off, no or empty."});
    properties.insert("is_enabled".to_owned(), switch);
    properties.into()
}

/// A handler to be made.
pub(super) fn new_channel(form: &Form) -> Result<NewChannel, Vec<FieldError>> {
    let mut errors = Vec::new();
    for field in ["name", "type"] {
        if form.text(field).is_none() {
            errors.push(wrong(field, "is required"));
        }
    }
    let (name, kind) = (name(form, &mut errors), kind(form, &mut errors));
    let is_active = switch(form, &mut errors);
    let config = kind.map(|kind| kind.whole_config(form, &mut errors));
    match (name, kind, config) {
        (Some(name), Some(kind), Some(config)) if errors.is_empty() => Ok(NewChannel {
            name,
            provider: kind.name.to_owned(),
            config,
            edit: ChannelEdit { is_active, ..ChannelEdit::default() },
            dialect: Some(DIALECT.to_owned()),
            is_managed: false,
        }),
        _ => Err(errors),
    }
}

/// What changes of a handler: a field that is absent stays as it is, another type begins anew.
pub(super) fn edit(before: &ChannelShown, form: &Form) -> Result<ChannelEdit, Vec<FieldError>> {
    let mut errors = Vec::new();
    let provider = &before.live.channel.settings.provider;
    let config = match kind(form, &mut errors) {
        Some(kind) if kind.name != provider => {
            Some(ConfigEdit::Provider(kind.name.to_owned(), kind.whole_config(form, &mut errors)))
        }
        _ => {
            let patch = Kind::find(provider).map(|kind| kind.patch(form, &mut errors));
            patch.filter(|patch| !patch.is_empty()).map(ConfigEdit::Patch)
        }
    };
    let edit = ChannelEdit {
        name: name(form, &mut errors),
        is_active: switch(form, &mut errors),
        config,
        ..ChannelEdit::default()
    };
    if errors.is_empty() { Ok(edit) } else { Err(errors) }
}

/// A channel as a handler; `None` when this API has no type for it. Secrets are masked for those who may not see them.
pub(super) fn handler(shown: &ChannelShown, sees_secrets: bool) -> Option<HandlerOut> {
    let channel = &shown.live.channel;
    let kind = Kind::find(&channel.settings.provider)?;
    let settings = if sees_secrets { kind.settings(&shown.clear_config()) } else { kind.settings(&shown.config) };
    Some(HandlerOut {
        id: channel.id.0,
        r#type: kind.name,
        name: channel.settings.name.clone(),
        settings,
        is_enabled: channel.settings.is_active,
        last_datetime: channel.updated_at.map(datetime),
        datetime: datetime(channel.created_at),
    })
}
