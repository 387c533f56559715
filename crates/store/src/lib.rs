//! The storage seam: what must be kept, said in the domain's words, and the backends that keep it.
//!
//! Six traits by concern: [`Queue`] (the way of an event, hot), [`Directory`] (tenants, keys, channels), [`Journal`]
//! (what happened, for people), [`Inbox`] (what applications show to their users) , [`Redrives`] (many deliveries tried
//! again) and [`Retention`] (what is old goes). A method is a whole unit of work, and has its test in `conformance`, which every backend passes.
//! [`moving`] takes a whole database to another store. Nothing here decides: what becomes of a delivery is dispatch's business.
//!
//! Start reading at [`queue`], then `sqlite/writer.rs`.

mod blob;
#[cfg(any(test, feature = "testing"))]
#[macro_use]
pub mod conformance;
pub mod digest;
pub mod directory;
pub mod error;
pub mod inbox;
pub mod journal;
pub mod lock;
pub mod moving;
pub mod observe;
pub mod postgres;
pub mod queue;
mod redrive_json;
pub mod redrives;
pub mod retention;
mod settings;
pub mod sqlite;
mod sums;
pub mod vault;
#[cfg(test)]
mod workload;

pub use directory::Directory;
pub use error::StoreError;
pub use inbox::Inbox;
pub use journal::Journal;
pub use queue::Queue;
pub use redrives::Redrives;
pub use retention::Retention;
pub use vault::Vault;

/// A backend: all concerns over one database.
pub trait Store: Queue + Directory + Journal + Inbox + Redrives + Retention {}

impl<T: Queue + Directory + Journal + Inbox + Redrives + Retention> Store for T {}
