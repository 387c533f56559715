//! `/v1/deliveries`.

mod get;
mod retry;
