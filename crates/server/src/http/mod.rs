//! Shared plumbing of the faces: the listeners with their bounds, and bodies read to theirs.

pub(crate) mod body;
pub(crate) mod listener;
pub(crate) mod socket;
