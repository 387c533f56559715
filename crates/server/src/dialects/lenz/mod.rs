//! Nodeflux Lenz: notification channels, their queue and their log, as a Lenz client knows them.
//!
//! [`router`] has the paths, [`wire`] what is answered, [`channel_in`] and [`query`] read what is asked, [`config`] and
//! [`map`] lead from the one to the other, and [`error`] is the envelope of everything that goes wrong. What is
//! compatible and what is beyond the vendor is told in `docs/dialects/lenz.md`.

mod channel_in;
mod channels;
mod config;
mod error;
mod extract;
mod logs;
mod map;
mod query;
mod queue;
mod router;
mod variables;
mod wire;

use std::sync::Arc;

use engine::Engine;
use engine::ops::Sight;
use jiff::tz::TimeZone;

pub(super) use router::router;

/// Its name in the store.
const NAME: &str = "lenz";

/// The kinds of channel that there are here, in the order of its documentation; those of others are not shown.
const PROVIDERS: &[&str] = &["webhook", "discord", "telegram", "email"];

const SIGHT: Sight = Sight { providers: PROVIDERS };

/// What the handlers work with.
struct Lenz {
    engine: Arc<Engine>,
    /// Whose midnight begins a day.
    time_zone: TimeZone,
}

type App = Arc<Lenz>;
