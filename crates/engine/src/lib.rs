//! The application: operations, accepting, dispatching, upkeep, and the guarded way out.
//!
//! It knows neither HTTP handlers nor SQL, nor one provider by name.

pub mod transport;
