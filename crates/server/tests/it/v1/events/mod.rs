//! `/v1/events`.

mod cloud_events;
mod explain;
mod get;
mod idempotency;
mod post;
mod routing;
mod tenants;
