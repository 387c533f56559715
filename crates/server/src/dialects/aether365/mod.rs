//! Aether365's notification settings of a tenant: `/tenants/me/notifications`.
//!
//! Four switches and a Teams URL steer two channels: mail to the tenant's own address and messages to Teams, about scans
//! that complete and fail. Which channels follow is in [`notices`], where a mail's reader unsubscribes in [`unsubscribe`].
//! What is compatible, and what is ours, is told in `docs/dialects/aether365.md`. Start at [`router`].

mod error;
mod extract;
mod links;
mod notices;
mod router;
mod unsubscribe;
mod wire;

use std::sync::Arc;

use engine::Engine;

pub(crate) use links::Links;
pub(crate) use notices::Notices;
pub(super) use router::router;

/// What the handlers work with.
#[derive(Clone)]
struct App {
    engine: Arc<Engine>,
    links: Arc<Links>,
}

/// What channels and settings of this dialect say of themselves.
const DIALECT: &str = "aether365";
