//! The pure heart of Postrider: what events, channels and deliveries are and the rules they follow.
//!
//! Nothing here reads a clock, draws a random number, touches a disk or a socket, or knows a wire format: time and
//! randomness are arguments, so every rule can be tested and simulated.
//!
//! Start reading at [`delivery`] (the states of a delivery), then [`lane`] (what may start now).

pub mod breaker;
pub mod budget;
pub mod channel;
pub mod delivery;
pub mod digest;
pub mod event;
pub mod event_type;
pub mod ids;
pub mod lane;
pub mod outcome;
pub mod quotas;
pub mod reason;
pub mod redrive;
pub mod routing;
pub mod schedule;
pub mod secret;
pub mod steps;
pub mod tenant;
pub mod time;
pub mod trace;
pub mod verdict;

pub use ids::{
    AttemptId, ChannelId, DeliveryId, DigestId, EventId, KeyId, RedriveId, ScopeId, SubscriptionId, TenantId,
};
pub use reason::ReasonCode;
pub use secret::Secret;
pub use steps::StepsDone;
pub use time::{Clock, Timestamp};
pub use trace::TraceContext;
