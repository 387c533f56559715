//! The guide is true: every program in it is run against the real server, and every line of shell is typed.
//!
//! Samples are read out of the Markdown, so what is tested is what the reader copies. A language that is missing fails
//! the tests: `scripts/test` installs them.

mod languages;
mod pages;
mod receivers;
mod samples;
mod senders;
mod settings;
mod workshop;
