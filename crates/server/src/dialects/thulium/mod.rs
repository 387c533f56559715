//! Thulium's webhooks: `/api/webhooks`, with HTTP Basic.
//!
//! A webhook here is a channel of the provider `webhook` with the format `thulium`; its actions are the channel's
//! subscriptions. What is compatible, and what is ours, is told in `docs/dialects/thulium.md`. Start at [`router`].

mod error;
mod extract;
mod language;
mod list;
mod map;
mod router;
mod wire;

use std::sync::Arc;

use engine::Engine;

pub(super) use router::router;

/// What the handlers work with.
type App = Arc<Engine>;
