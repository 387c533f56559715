//! The engine's integration tests, one folder per module.

mod reasons;
mod transport;
