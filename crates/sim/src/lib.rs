//! Deterministic simulation: the real engine and the real SQLite store, on one thread, under a virtual clock.
//!
//! A seed decides everything: who posts what and when, how receivers answer, what goes wrong and how long each thing
//! takes. [`world`] is the scheduler and stands where sockets, timers and threads are in production; [`faults`] says
//! what goes wrong; [`model`] remembers what everyone was told, and [`properties`] holds that against what the store
//! says. The same seed twice gives the same [`trace`]. Nothing is faked below the transport.
//!
//! Start reading at [`world::simulate`].

pub mod backlog;
pub mod burst;
mod clients;
mod clock;
mod database;
pub mod dice;
pub mod faults;
mod kept;
mod limits;
mod lives;
mod mail;
pub mod model;
mod oracle;
mod owners;
mod plan;
mod process;
mod properties;
mod receivers;
mod redriven;
mod scenario;
mod services;
pub mod shrink;
mod slots;
mod telling;
pub mod trace;
mod wire;
pub mod world;

pub use world::{Options, Report, Sabotage, simulate};
