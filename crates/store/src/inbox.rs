//! The in-app inbox: entries that applications show to their users.
//!
//! Entries are written by [`settle`](crate::Queue::settle), so that each is there exactly once; here they are read and
//! marked.

use async_trait::async_trait;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};

use crate::StoreError;

/// The most that [`Inbox::unread`] counts to.
pub const UNREAD_COUNTED_MAX: u64 = 1000;

/// Reads and marks the entries of a tenant.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Entries, newest first.
    async fn inbox(&self, tenant: TenantId, query: InboxQuery) -> Result<Vec<InboxRow>, StoreError>;

    /// How many entries are unread, of one recipient or of all; counted up to [`UNREAD_COUNTED_MAX`].
    async fn unread(&self, tenant: TenantId, recipient: Option<String>) -> Result<u64, StoreError>;

    /// Marks one entry read, or unread again with `None`; one that is read keeps the time of its first reading. `None`
    /// when the tenant has no such entry.
    async fn mark(
        &self,
        tenant: TenantId,
        entry: DeliveryId,
        read_at: Option<Timestamp>,
    ) -> Result<Option<InboxRow>, StoreError>;

    /// Marks one slice of the unread entries at or below `up_to` read, of one recipient or of all. Returns how many.
    async fn mark_slice(
        &self,
        tenant: TenantId,
        recipient: Option<String>,
        up_to: DeliveryId,
        read_at: Timestamp,
        rows_max: usize,
    ) -> Result<usize, StoreError>;
}

/// An entry to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// Empty: the inbox that all of the tenant share.
    pub recipient: String,
    /// A JSON object.
    pub content: String,
}

/// Which entries to list.
#[derive(Clone, Debug)]
pub struct InboxQuery {
    /// `None`: of all recipients.
    pub recipient: Option<String>,
    pub is_unread_only: bool,
    /// Only those below; `None` begins at the newest.
    pub before: Option<DeliveryId>,
    pub rows_max: usize,
}

/// An entry as it is kept. Its id is that of the delivery that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    pub id: DeliveryId,
    pub channel: ChannelId,
    pub event: EventId,
    pub entry: InboxEntry,
    pub created_at: Timestamp,
    pub read_at: Option<Timestamp>,
}
