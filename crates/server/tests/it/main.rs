//! The server's integration tests: the real binary on a free loopback port, a real data directory and a receiver that
//! follows a script. Paths mirror the URLs; `harness` is the one way to start and to ask.

mod auth;
mod black_box;
mod delivery;
mod egress;
mod harness;
mod healthz;
mod mail;
mod v1;
