//! The application: everything that Postrider does, without a port, a terminal or a line of SQL.
//!
//! Faces call [`ops`], the only door. An event is routed and kept in [`accept`], its deliveries are started, judged
//! and settled in [`dispatch`], and leave the machine through [`transport`]. Decisions are pure state machines
//! ([`dispatch::Dispatcher`]); a thin shell ([`dispatch::run`]) gives them tasks and timers, and the simulator gives
//! them a virtual clock instead.

pub mod accept;
pub mod dispatch;
mod expression;
pub mod observe;
mod operational;
pub mod ops;
pub mod random;
pub mod registry;
pub mod render;
pub mod settings;
pub mod transport;
pub mod upkeep;

pub use ops::Engine;
pub use settings::Settings;
