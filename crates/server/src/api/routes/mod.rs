//! Every route of the native API, declared once: its path, its handler, and what the document says of it.
//!
//! One file for each part of the API.

mod channels;
mod deliveries;
mod events;
mod health;
mod inbox;
mod redrives;
mod tenants;

use axum::Router;

use super::problem::{self, Problem};
use super::{App, channel_schemas, words};
use crate::openapi::Declared;

type Routes = crate::openapi::Routes<App>;

/// The parts of the API, in the order in which people are shown them.
const TAGS: [(&str, &str); 12] = [
    ("events", "What happened, and what became of it."),
    ("channels", "The destinations of a tenant."),
    ("subscriptions", "What brings events to channels, one by one."),
    ("event types", "What types are called for people, and which variables their data holds."),
    ("deliveries", "One event for one channel."),
    ("attempts", "Every try."),
    ("redrives", "Many deliveries tried again by one order."),
    ("stats", "Sums."),
    ("inbox", "What an application shows to its users."),
    ("tenants", "Who uses this server. For the platform."),
    ("keys", "What tenants call with. For the platform."),
    ("health", "How the server is doing, and what it can do."),
];

/// The router, and what the document says of it.
pub(super) fn declared() -> (Router<App>, Declared) {
    let routes = TAGS.iter().fold(Routes::new(), |routes, (name, about)| routes.tag(name, about));
    let parts = [
        health::declare,
        events::declare,
        channels::declare,
        deliveries::declare,
        redrives::declare,
        inbox::declare,
        tenants::declare,
    ];
    let (router, mut declared) = parts.into_iter().fold(routes, |routes, declare| declare(routes)).finish();
    declared.register::<Problem>();
    declared.change_parameters(words::parameter);
    let schemas = declared.schemas_mut();
    let types = problem::TYPES.map(|name| format!("urn:postrider:{name}"));
    schemas["Problem"]["properties"]["type"]["enum"] = types.to_vec().into();
    channel_schemas::by_provider(schemas);
    for (name, schema) in schemas {
        words::fill_in(name, schema);
    }
    (router, declared)
}
