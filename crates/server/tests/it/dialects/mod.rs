//! The APIs of other products, against the pages that describe them and as their clients use them.

mod altum;
mod thulium;
