//! Tests of the house as a whole: the drawing of the delivery states, and the walls that Cargo cannot keep.

mod states;
mod tidy;
