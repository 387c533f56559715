//! The server's integration tests: the real binary on a free loopback port, a real data directory and a receiver that
//! follows a script. Paths mirror the URLs; `harness` is the one way to start and to ask.

mod auth;
mod black_box;
mod canary;
mod cli;
mod config;
mod console;
mod delivery;
mod dialects;
mod egress;
mod guide;
mod harness;
mod healthz;
mod hostile;
mod logs;
mod mail;
mod metrics;
mod openapi;
mod postgres;
mod providers;
mod reasons;
mod tokens;
mod traces;
mod v1;
