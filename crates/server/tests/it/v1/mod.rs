//! `/v1`, one folder for each thing and one file for each of its methods.

mod attempts;
mod channels;
mod deliveries;
mod event_types;
mod events;
mod inbox;
mod redrives;
mod stats;
mod subscriptions;
mod tenants;
