//! Shared plumbing of the faces: the listeners with their bounds and certificate, who asks, which web pages may, what is
//! told of a request, how pages look, bodies read to their bounds, what forms hold, and calls counted.

pub(crate) mod body;
pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod cors;
pub(crate) mod form;
pub(crate) mod listener;
pub(crate) mod observe;
pub(crate) mod page;
pub(crate) mod socket;
pub(crate) mod tls;
