//! What becomes of a delivery, seen from both ends: the API and the receiver.

mod digests;
mod holding;
mod limits;
mod order;
mod owners;
mod rates;
mod retries;
mod trips;
