//! x
pub struct Engine;
