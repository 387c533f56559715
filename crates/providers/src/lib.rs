//! The kinds of destination, pure: what each wants configured, what it is sent, how its answer is judged.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and entropy are arguments, a [`step::Step`] is
//! what should be done and a [`step::Reply`] what came of it.
//!
//! Adding a provider is one file and one word in [`all`]. Start reading at [`Provider`], then [`webhook`]; what is
//! shared between providers is in [`config`], [`judge`] and [`sign`].

pub mod address;
mod chat;
pub mod config;
mod digest;
pub mod discord;
pub mod email;
mod field;
mod form;
pub mod google_chat;
pub mod internal_notification;
pub mod judge;
pub mod markup;
pub mod message;
pub mod microsoft_teams;
pub mod operator;
pub mod pasted;
pub mod schema;
pub mod scope;
pub mod sign;
pub mod slack;
pub mod spec;
pub mod step;
pub mod summary;
pub mod telegram;
mod text;
pub mod webhook;
pub mod x;

use domain::Timestamp;
use domain::outcome::Outcome;
use serde_json::{Map, Value};

pub use config::{Config, FieldError, clear, create, masked, update};
pub use message::{Item, Message, PlanContext, PlanError};
pub use operator::Operator;
use pasted::Form;
pub use scope::Scopes;
pub use spec::{Field, FieldKind, Markup, Rate, RateScope, Size, Spec, Unit};
use step::{Reply, Step};

/// One kind of destination.
pub trait Provider: Sync {
    /// Its name, its fields and its defaults: what validation, masking, the console and the docs derive from.
    fn spec(&self) -> &'static Spec;

    /// Puts what an owner sent into the shape of the fields, before any of it is checked; for values that are accepted
    /// in more than one place.
    fn tidy(&self, _given: &mut Map<String, Value>) {}

    /// How its channels are written as one URL, for owners who come from Apprise; see [`pasted`].
    fn pasted(&self) -> &'static [Form] {
        &[]
    }

    /// Checks what goes beyond single fields; errors name the field.
    fn check(&self, _config: &Config) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    /// Checks what a channel takes for granted from the operator; errors name the field and the setting.
    fn check_operator(&self, _config: &Config, _operator: &Operator) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    /// Fills in what the owner left out and Postrider can make, like a signing secret, and returns the keys of it.
    /// `entropy` is 32 random bytes, used for nothing else.
    fn complete(&self, _config: &mut Config, _entropy: [u8; 32]) -> Vec<&'static str> {
        Vec::new()
    }

    /// What to do to deliver `message`: one step or several, in order. The same arguments give the same steps.
    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError>;

    /// Whether its requests name the trace that an event belongs to, as `traceparent`: where the receiver is the owner's
    /// own. Others have no business with it.
    fn passes_trace(&self) -> bool {
        false
    }

    /// Whether several events can be one message: those of a digest.
    fn merges(&self, _config: &Config) -> bool {
        true
    }

    /// What tells the credentials of two channels apart, where several channels may use the same one. Never shown.
    fn credential(&self, _config: &Config) -> Option<String> {
        None
    }

    /// What tells two scopes of a rate in the SPEC apart; `None` where the rate does not hold for this channel. Never
    /// shown. By itself, a webhook's URL without its query.
    fn counted_by(&self, _scope: RateScope, config: &Config) -> Option<String> {
        chat::webhook_place(config)
    }

    /// What the owner of a channel should know and nothing is refused for. `body_template` is the channel's, as written.
    fn warnings(&self, _config: &Config, _body_template: Option<&str>) -> Vec<String> {
        Vec::new()
    }

    /// What the body template of a channel writes.
    fn markup(&self, _config: &Config) -> Markup {
        self.spec().body_markup
    }

    /// What `reply` means for the message and its channel. `now` is when the reply came.
    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome;
}

/// Every provider, in the order in which people are shown them.
pub fn all() -> &'static [&'static dyn Provider] {
    &[
        &webhook::Webhook,
        &email::Email,
        &slack::Slack,
        &discord::Discord,
        &telegram::Telegram,
        &microsoft_teams::MicrosoftTeams,
        &google_chat::GoogleChat,
        &x::X,
        &internal_notification::InternalNotification,
    ]
}

/// The provider of that name in its SPEC.
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    all().iter().copied().find(|provider| provider.spec().name == name)
}

#[cfg(test)]
mod suite;
#[cfg(test)]
mod trial;
