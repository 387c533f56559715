//! The server: everything with a port or a terminal.
//!
//! [`app`] puts the parts together and is the only place that names a backend. Faces (`api`, `dialects`, `console`) translate their wire
//! into calls of `engine::ops` and never import each other; what they share is in `http`, `auth` and `openapi`; `telemetry` tells
//! how the server is doing. Each command of
//! the command line is a file in `cli`.

mod api;
pub mod app;
mod auth;
mod cli;
mod clock;
pub mod config;
mod console;
mod dialects;
mod entropy;
mod first_run;
mod http;
mod in_flight;
mod openapi;
mod receiver;
mod telemetry;

pub use cli::run;
