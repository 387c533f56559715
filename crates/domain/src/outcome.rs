//! Outcomes: what a provider said about one attempt. Data only; dispatch alone decides what follows.

use std::time::Duration;

/// What happened to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The provider took it.
    Delivered,
    /// It was not taken, and a later try may go better.
    Retry,
    /// The provider asked for a pause. The pause covers the whole [`Scope`] and burns no attempt.
    Throttled,
    /// It will never be taken as it is.
    Permanent,
    /// The request was written and no answer came: it may have been taken.
    Unknown,
}

impl Class {
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Retry, Self::Throttled, Self::Permanent, Self::Unknown];

    /// The name in the API and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "failed",
            Self::Throttled => "throttled",
            Self::Permanent => "rejected",
            Self::Unknown => "unknown",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == text)
    }
}

/// How far the outcome reaches beyond the one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This message only.
    Message,
    /// Everything sent to this channel.
    Channel,
    /// Everything sent with the same credential.
    Credential,
    /// Everything sent to this provider.
    Provider,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Message, Self::Channel, Self::Credential, Self::Provider];

    /// The name in the API and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Channel => "channel",
            Self::Credential => "credential",
            Self::Provider => "provider",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == text)
    }
}

/// What a provider said about one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub class: Class,
    pub scope: Scope,
    /// The least wait that the provider asked for, already clamped to [`HINT_MAX`].
    pub hint: Option<Duration>,
    /// The provider's own id of the message.
    pub reference: Option<String>,
    /// What went wrong, in words for the person on call; empty when delivered, unless that needs a word. Holds no secret.
    pub note: String,
    /// What may be done at once about a message that was not taken; without effect on others.
    pub remedy: Option<Remedy>,
}

/// What may be done at once about a message that was not taken as it was.
///
/// A remedy is tried once in a try. When it is of no use, the outcome counts as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing was taken, because the destination has moved: this field of the channel's config is changed for good, and
    /// the message goes again.
    Move(ConfigPatch),
    /// Nothing was taken, because of how the message is marked up: it goes again as plain text.
    Plain,
    /// The provider says that it has this very message. If an earlier try of the delivery ended without an answer, that
    /// one was taken.
    HasAlready,
}

/// One field of a channel's config, as it is from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPatch {
    /// A text field of the provider's SPEC that holds no secret.
    pub key: &'static str,
    pub value: String,
}

/// The longest wait that a provider may ask for; longer hints are cut to it, so that an absurd header cannot park a
/// channel for years.
pub const HINT_MAX: Duration = Duration::from_hours(24);

impl Outcome {
    pub const fn delivered() -> Self {
        Self {
            class: Class::Delivered,
            scope: Scope::Message,
            hint: None,
            reference: None,
            note: String::new(),
            remedy: None,
        }
    }

    /// A failure that concerns this message and may pass.
    pub fn retry(note: impl Into<String>) -> Self {
        Self { class: Class::Retry, note: note.into(), ..Self::delivered() }
    }

    /// A failure that will not pass, for everything in `scope`.
    pub fn permanent(scope: Scope, note: impl Into<String>) -> Self {
        Self { class: Class::Permanent, scope, note: note.into(), ..Self::delivered() }
    }

    /// A request to pause everything in `scope`.
    pub fn throttled(scope: Scope, note: impl Into<String>) -> Self {
        Self { class: Class::Throttled, scope, note: note.into(), ..Self::delivered() }
    }

    /// The request went out and no answer came.
    pub fn unknown(note: impl Into<String>) -> Self {
        Self { class: Class::Unknown, note: note.into(), ..Self::delivered() }
    }

    /// The same outcome with what may be done about it at once.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// The same outcome with the wait that the provider asked for.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<Duration>) -> Self {
        self.hint = hint.map(|wait| wait.min(HINT_MAX));
        self
    }
}
