//! `/v1/events`.

mod explain;
mod get;
mod idempotency;
mod post;
mod routing;
