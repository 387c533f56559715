//! The in-app inbox, for the application that shows it.

use domain::{DeliveryId, TenantId};
use store::inbox::{InboxQuery, InboxRow, UNREAD_COUNTED_MAX};

use super::{Engine, OpsError};

/// Entries that are marked in one transaction.
const SLICE_ROWS: usize = 500;

/// How many entries wait to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    pub count: u64,
    /// There may be more than `count`: nobody counts further.
    pub is_more: bool,
}

impl Engine {
    /// Entries, newest first.
    pub async fn inbox(&self, tenant: TenantId, query: InboxQuery) -> Result<Vec<InboxRow>, OpsError> {
        Ok(self.store.inbox(tenant, query).await?)
    }

    /// How many entries of a recipient, or of all, are unread.
    pub async fn unread(&self, tenant: TenantId, recipient: Option<String>) -> Result<Unread, OpsError> {
        let count = self.store.unread(tenant, recipient).await?;
        Ok(Unread { count, is_more: count >= UNREAD_COUNTED_MAX })
    }

    /// Marks an entry read; one that is read keeps the time of its first reading.
    pub async fn mark_read(&self, tenant: TenantId, entry: DeliveryId) -> Result<InboxRow, OpsError> {
        let marked = self.store.mark(tenant, entry, Some(self.clock.now())).await?;
        marked.ok_or_else(|| no_entry(entry))
    }

    pub async fn mark_unread(&self, tenant: TenantId, entry: DeliveryId) -> Result<InboxRow, OpsError> {
        self.store.mark(tenant, entry, None).await?.ok_or_else(|| no_entry(entry))
    }

    /// Marks everything read that is there now, of a recipient or of all; how many it were. In slices: when one fails,
    /// those before it stay marked, and asking again goes on.
    pub async fn mark_all_read(&self, tenant: TenantId, recipient: Option<String>) -> Result<usize, OpsError> {
        let now = self.clock.now();
        let newest = InboxQuery { recipient: recipient.clone(), is_unread_only: true, before: None, rows_max: 1 };
        let Some(newest) = self.store.inbox(tenant, newest).await?.pop() else { return Ok(0) };
        let mut marked = 0;
        loop {
            let slice = self.store.mark_slice(tenant, recipient.clone(), newest.id, now, SLICE_ROWS).await?;
            marked += slice;
            if slice < SLICE_ROWS {
                return Ok(marked);
            }
        }
    }
}

fn no_entry(entry: DeliveryId) -> OpsError {
    OpsError::NotFound(format!("inbox entry {entry}"))
}
