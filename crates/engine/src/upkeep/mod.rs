//! Upkeep: work on what is there already, a slice at a time. Each is one function that does one slice and says when the
//! next may come; dispatch decides when that is, and goes on after a restart.

pub(crate) mod redrive;
