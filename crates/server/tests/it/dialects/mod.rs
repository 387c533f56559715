//! The APIs of other products against the pages that describe them.

mod aether365;
mod thulium;
