//! Operations: the only door of the engine. One function for each thing that a face can ask for, checked against the
//! tenant that asks.
//!
//! Faces translate their wire into these calls and the answers back; they add no behaviour. Errors say which field is
//! wrong or what is missing ([`OpsError`]); each face puts them into its own envelope.

mod attention;
mod channel_edit;
mod channel_list;
mod channel_test;
mod channels;
mod deliveries;
mod event_types;
mod events;
mod figures;
mod inbox;
mod pages;
mod preview;
mod quotas;
mod redrives;
mod steering;
mod subscriptions;
mod tenants;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use domain::{ChannelId, Clock, TenantId};
use providers::FieldError;
use store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::dispatch::run::Handle;
use crate::observe::Observer;
use crate::random::Entropy;
use crate::registry::{LiveChannel, Registry, RegistryError};
use quotas::QuotaBook;

pub use attention::{Attention, FailingChannel, PausedChannel};
pub use channel_edit::{ChannelEdit, ConfigEdit, EVENT_TYPES_MAX, WireConfig};
pub use channel_list::{ChannelFilter, ChannelOrder, ChannelPage, ChannelPageQuery, OrderBy};
pub use channel_test::{ChannelTest, TestEvent, TestResult};
pub use channels::{ChannelCap, ChannelShown, NewChannel};
pub use deliveries::{DeliveryFilter, StatsShown, WaitingShown};
pub use event_types::EventTypeShown;
pub use events::{Accepted, EventShown, Explained};
pub use figures::Figures;
pub use inbox::Unread;
pub use pages::{DEAD_LETTERS_MAX, DeadLetter, LOG_ROWS_MAX, LogQuery, QueueFigures, Sight};
pub use preview::{PREVIEW_ITEMS_MAX, Preview, PreviewChannel, PreviewEvent, PreviewOf};
pub use quotas::QuotaShown;
pub use redrives::{RedrivePreview, RedriveRequest};
pub use steering::{SteeredChannel, Steering};
pub use store::inbox::{InboxQuery, InboxRow};
pub use store::journal::{
    AttemptPage, AttemptQuery, EventQuery, EventSummary, Page, Span, StatsQuery, TEXT_CHARS_MAX, Text,
};
pub use subscriptions::NewSubscription;
pub use tenants::{
    BadKey, IMPORTED_KEY_BYTES_MAX, IMPORTED_KEY_BYTES_MIN, IssuedKey, KeyRequest, ProvidersEdit, QuotasEdit,
    TenantEdit, hash_key,
};

/// How many rows of history are examined for one page of a list, however few of them pass its filters: some tens of
/// milliseconds of a reader. The page is then short, and the next goes on behind them.
const EXAMINED_MAX: usize = 10_000;

/// The application. Faces hold it in an `Arc`.
pub struct Engine {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    dispatch: Handle,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Option<Arc<dyn Observer>>,
    steering: Vec<Arc<dyn Steering>>,
    quota_book: QuotaBook,
    /// Held while configuration changes, so that the registry sees changes in the order of the store.
    changing: Mutex<()>,
}

/// Why an operation was not done. Nothing is half done.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// Fields that are wrong, and what would be right.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// The tenant has no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// The request is larger than a bound that the message names.
    #[error("{0}")]
    TooLarge(String),
    /// A quota of the tenant has no room for it; with the time after which it may, where time makes room.
    #[error("{message}")]
    QuotaExceeded { message: String, retry_after: Option<Duration> },
    /// It cannot be done now and may be done later.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for OpsError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        if error.is_transient() { Self::Unavailable(message) } else { Self::Internal(message) }
    }
}

impl From<RegistryError> for OpsError {
    fn from(error: RegistryError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl OpsError {
    fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    fn suspended() -> Self {
        Self::Conflict("the tenant is suspended; POST /v1/tenants/{slug}/resume ends that".to_owned())
    }

    fn no_channel(channel: ChannelId) -> Self {
        Self::NotFound(format!("channel {channel}"))
    }
}

impl Engine {
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        dispatch: Handle,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            registry,
            dispatch,
            clock,
            entropy,
            observer: None,
            steering: Vec::new(),
            quota_book: QuotaBook::default(),
            changing: Mutex::default(),
        }
    }

    /// The same, and `observer` hears what it does.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same, and the settings of a dialect steer channels.
    #[must_use]
    pub fn steered_by(mut self, steering: Arc<dyn Steering>) -> Self {
        self.steering.push(steering);
        self
    }

    /// The time that operations go by.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Whether the store answers: for readiness.
    pub async fn check_store(&self) -> Result<(), OpsError> {
        self.store.cancellations().await?;
        Ok(())
    }

    /// That a tenant is still there, for what was asked before it was deleted.
    fn check_tenant(&self, tenant: TenantId) -> Result<(), OpsError> {
        let is_there = self.registry.has_tenant(tenant);
        if is_there { Ok(()) } else { Err(OpsError::NotFound("such tenant any more".to_owned())) }
    }

    fn live_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<Arc<LiveChannel>, OpsError> {
        self.registry.channel_of(tenant, channel).ok_or_else(|| OpsError::no_channel(channel))
    }
}

/// Checks the length of a name, in characters.
fn check_name(name: &str) -> Result<(), OpsError> {
    let max = domain::channel::NAME_CHARS_MAX;
    let count = name.chars().count();
    if (1..=max).contains(&count) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(OpsError::invalid("name", format!("must be 1 to {max} characters, without control characters")))
}
