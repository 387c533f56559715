//! `/v1/events`.

mod explain;
mod get;
mod idempotency;
mod list;
mod post;
mod routing;
