//! The APIs of other products, each against its maker's documentation and as its clients use it; in its own envelope
//! whatever is sent.

mod aether365;
mod altum;
mod lenz;
pub(crate) mod outages;
mod table;
mod thulium;
