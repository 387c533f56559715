//! SPECs: what a provider wants configured, declared once.
//!
//! Validation, masking, the console's form, the JSON schema, the CLI's help and the docs derive from these tables, so
//! a field is described nowhere else. The rules behind each [`FieldKind`] are in `field.rs`.

use std::time::Duration;

use domain::schedule::Schedule;
use serde_json::{Map, Value};

pub use crate::markup::Markup;
use crate::text;
pub use crate::text::Unit;

/// What a provider is called, wants and does unless told otherwise.
pub struct Spec {
    /// Lower case, as in a channel's `provider`; never changes, because it is stored.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// In the order in which people are asked for them.
    pub fields: &'static [Field],
    /// The schedule of a channel that names none.
    pub retry: fn() -> Schedule,
    /// How long a delivery is worth sending, for a channel that does not say.
    pub time_to_live: Duration,
    /// What the body template writes, and so how values are escaped that it inserts, unless the config says more.
    pub body_markup: Markup,
    /// How large parts of a message may be. What is larger is split or cut before it is sent.
    pub sizes: &'static [Size],
    /// How often the provider takes messages.
    pub rates: &'static [Rate],
    /// Where its API is; the operator may have it elsewhere. `None` where owners alone say where.
    pub base_url: Option<&'static str>,
}

/// The most of one part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub what: &'static str,
    pub max: usize,
    pub unit: Unit,
}

impl Size {
    /// A text in this markup, in parts of this size.
    pub(crate) fn parts(self, text: &str, markup: Markup) -> Vec<String> {
        text::parts(text, self.max, self.unit, markup)
    }

    /// A text in this markup, cut to this size.
    pub(crate) fn cut(self, text: &str, markup: Markup) -> String {
        text::cut(text, self.max, self.unit, markup)
    }
}

/// How often something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub window: Duration,
    pub scope: RateScope,
}

/// What the messages have in common that a [`Rate`] counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateScope {
    Webhook,
    Chat,
    Group,
    Bot,
    Space,
    User,
    App,
    /// Everything that this server sends to the provider, whoever it is for.
    Address,
}

impl RateScope {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Chat => "chat",
            Self::Group => "group",
            Self::Bot => "bot",
            Self::Space => "space",
            Self::User => "user",
            Self::App => "app",
            Self::Address => "address",
        }
    }
}

impl Spec {
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// The size of this name.
    pub(crate) fn size(&self, what: &str) -> Size {
        *self.sizes.iter().find(|size| size.what == what).expect("a provider asks for sizes that its SPEC has")
    }

    /// A config made of every field's example: for docs, forms and tests.
    pub fn sample(&self) -> Map<String, Value> {
        self.fields.iter().map(|field| (field.key.to_owned(), field.sample())).collect()
    }
}

/// One field of a config.
pub struct Field {
    pub key: &'static str,
    pub kind: FieldKind,
    pub required: bool,
    /// Never shown in answers of the native API; headers show their names only.
    pub secret: bool,
    /// One or two sentences for the owner of a channel.
    pub help: &'static str,
    /// A value that is accepted: JSON for headers, addresses and ports, else plain text.
    pub example: &'static str,
}

impl Field {
    /// The example as a JSON value.
    pub fn sample(&self) -> Value {
        match self.kind {
            FieldKind::Headers | FieldKind::Addresses { .. } | FieldKind::Port => {
                serde_json::from_str(self.example).expect("the suite parses every example")
            }
            _ => Value::from(self.example),
        }
    }
}

/// What a field holds. An empty text is the same as none at all, for every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// An absolute http or https URL without credentials and fragment.
    Url,
    /// An https URL with a secret in its path or query: of a secret field, people are shown the host.
    WebhookUrl,
    /// One line.
    Text { chars_max: usize },
    /// One of these; the first one stands in when the owner names none.
    Choice(&'static [&'static str]),
    /// One mail address, with or without a name: `Billing <billing@example.com>`.
    Address,
    /// Mail addresses: a list, or one text with commas. Kept as a list in which each is there once.
    Addresses { count_max: usize },
    /// The name or address of a server, without port.
    Host,
    /// A number from 1 to 65535.
    Port,
    /// HTTP headers to add, by name.
    Headers,
    /// A Standard Webhooks signing secret, `whsec_...`. When it changes, the one before goes on signing for
    /// [`SECRET_GRACE`](crate::config::SECRET_GRACE). At most one field of a SPEC, with the key `secret`.
    SigningSecret,
}
