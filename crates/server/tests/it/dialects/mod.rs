//! The APIs of other products: each against its maker's documentation, and in its own envelope whatever is sent.

mod lenz;
