//! Event types that a tenant has described: what they are called for people, and the variables that their data holds.
//!
//! A description promises nothing: events of types that nobody described are taken as well, and the data of those that
//! are described is not checked. It is for people who write templates, for previews and tests, and for warnings.

use crate::{TenantId, Timestamp};

/// The most types that one tenant may describe.
pub const EVENT_TYPES_MAX: usize = 1000;

/// The most groups of one type, and the most variables over all of them.
pub const GROUPS_MAX: usize = 50;
pub const VARIABLES_MAX: usize = 500;

/// The longest label, description and example, in characters.
pub const LABEL_CHARS_MAX: usize = 128;
pub const DESCRIPTION_CHARS_MAX: usize = 1000;
pub const EXAMPLE_CHARS_MAX: usize = 1000;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// A described event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// The type itself, like `invoice.paid`.
    pub name: String,
    /// What people call it.
    pub label: String,
    pub description: String,
    pub groups: Vec<VariableGroup>,
}

/// Variables that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableGroup {
    pub name: String,
    pub variables: Vec<Variable>,
}

/// One value in the data of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Where it stands in the data; dots lead into objects, as in `customer.name`. See [`check_key`].
    pub key: String,
    pub description: String,
    pub kind: VariableKind,
    /// As text; for anything but texts and times it is JSON.
    pub example: String,
}

/// What a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    String,
    Number,
    Boolean,
    Datetime,
    Object,
    Array,
}

impl VariableKind {
    pub const ALL: [Self; 6] = [Self::String, Self::Number, Self::Boolean, Self::Datetime, Self::Object, Self::Array];

    /// The name in the API and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Datetime => "datetime",
            Self::Object => "object",
            Self::Array => "array",
        }
    }

    /// Whether a value is written as text; the others are written as JSON.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Datetime)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// A description as a tenant keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEventType {
    pub tenant: TenantId,
    pub event_type: EventType,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl EventType {
    /// Every variable, over all groups.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.groups.iter().flat_map(|group| &group.variables)
    }
}

/// Whether `key` can be written in a template: names of letters, digits and `_` with single dots between, none beginning
/// with a digit, at most [`KEY_BYTES_MAX`] long.
pub fn check_key(key: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|first: char| first.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    key.len() <= KEY_BYTES_MAX && key.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_be_written_in_templates() {
        for good in ["a", "_a", "stream_name", "customer.name", "a.b.c9"] {
            assert!(check_key(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "9a", "a.9", "a-b", "ä", "a b", &"x".repeat(129)] {
            assert!(!check_key(bad), "{bad}");
        }
    }
}
