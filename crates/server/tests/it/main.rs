//! The server's integration tests: the real binary on a free loopback port, a real data directory and a receiver that
//! follows a script. Paths mirror the URLs; `harness` is the one way to start and to ask.

mod auth;
mod black_box;
mod cli;
mod config;
mod console;
mod delivery;
mod egress;
mod harness;
mod healthz;
mod logs;
mod mail;
mod metrics;
mod openapi;
mod traces;
mod v1;
