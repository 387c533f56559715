//! The APIs of other products, against the pages that describe them and as their clients use them.

mod aether365;
mod altum;
mod thulium;
