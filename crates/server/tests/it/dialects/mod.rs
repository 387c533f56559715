//! The APIs of other products against the pages that describe them.

mod thulium;
