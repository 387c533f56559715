//! The API of notification handlers that prouvia.com, bitpeak.ru and their siblings have, all made by one house.
//!
//! `docs/dialects/altum.md` says what their clients can rely on. Start at [`router`]: the paths and what they do.
//! [`caller`] is who may, [`query`] what lists are asked for, [`map`] the way between handlers and channels, [`wire`] what
//! is answered and [`error`] what is refused.

mod caller;
mod error;
mod map;
mod query;
mod router;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use domain::{ChannelId, TenantId};
use engine::Engine;
use engine::ops::{ChannelShown, OpsError};
use http::StatusCode;

use crate::config::AltumConfig;
use crate::http::calls::CallLimit;
use error::Failure;

pub(crate) use router::router;

/// The window in which calls are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// What the handlers work with.
type App = Arc<Altum>;

struct Altum {
    engine: Arc<Engine>,
    calls: CallLimit,
    /// What wrong fields are answered with.
    validation_status: StatusCode,
}

impl Altum {
    fn new(engine: Arc<Engine>, config: AltumConfig) -> Self {
        let calls = CallLimit::new(config.requests_per_minute, WINDOW);
        Self { engine, calls, validation_status: config.validation_status }
    }

    /// A channel that this API has words for. One that another API's settings steer is none of its own.
    fn channel(&self, tenant: TenantId, channel: ChannelId) -> Result<ChannelShown, OpsError> {
        let shown = self.engine.channel(tenant, channel)?;
        let settings = &shown.live.channel.settings;
        if settings.is_managed || map::Kind::find(&settings.provider).is_none() {
            return Err(OpsError::NotFound(format!("channel {channel}")));
        }
        Ok(shown)
    }

    /// What an operation did not do. `kind` is the type of the handler that it was about.
    fn failure(&self, error: OpsError, kind: Option<&map::Kind>) -> Failure {
        match error {
            OpsError::Invalid(errors) => Failure::invalid(self.validation_status, map::in_words_of(kind, errors)),
            OpsError::Conflict(detail) => Failure::new(self.validation_status, detail),
            other => Failure::of_operation(other),
        }
    }
}
