//! The APIs of other products, as their clients use them.

mod altum;
