//! Settings as operators give them, and what the listener makes of them.

mod commands;
mod cors;
mod layers;
mod limits;
mod tls;
