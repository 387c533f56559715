//! `/v1/events`.

mod cloud_events;
mod explain;
mod get;
mod idempotency;
mod list;
mod post;
mod routing;
mod tenants;
