//! What the server tells about itself: figures for Prometheus and a log.
//!
//! Start at [`metrics::Metrics`], which the store, dispatch and the HTTP server report to. The engine and the store know
//! nothing of how it is told: they call their own `Observer` traits.

pub(crate) mod log;
pub(crate) mod metrics;
mod process;
pub(crate) mod route;
