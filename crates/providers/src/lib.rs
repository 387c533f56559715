//! The kinds of destination.
pub mod step;
