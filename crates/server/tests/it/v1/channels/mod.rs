//! `/v1/channels`.

mod delete;
mod formats;
mod get;
mod patch;
mod post;
mod preview;
mod test;
