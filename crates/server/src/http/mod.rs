//! Shared plumbing of the faces: the listener with its bounds, and bodies read to theirs.

pub(crate) mod body;
pub(crate) mod listener;
