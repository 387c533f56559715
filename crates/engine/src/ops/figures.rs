//! How the whole is doing, over all tenants: what the operator watches.

use std::time::Duration;

use domain::Timestamp;
use domain::lane::LoadWhat;
use store::StoreError;

use super::Engine;
use crate::dispatch::due_since;

/// What waits, over all tenants, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Wait for their first attempt, and for a later one; without those held.
    pub pending: u64,
    pub retrying: u64,
    /// Wait for channels that are paused or tripped.
    pub held: u64,
    pub dead: u64,
    pub channels_paused: usize,
    pub channels_tripped: usize,
    /// How long the delivery has been due that has been so for longest, and is not started. Zero when none is.
    ///
    /// Cheap: dispatch looks at what it holds in memory, whose bytes are bounded by a setting; of each channel that has
    /// more waiting in the table, the first row beyond is looked up by its key. Deliveries of a channel start in order of
    /// id, so that row is the one due longest, except just after a start: behind a retry that is due later, an older
    /// one is found when the lane has read so far.
    pub oldest_due: Duration,
}

impl Engine {
    /// What waits now. The sums are those that the store keeps; nothing is counted.
    pub async fn figures(&self) -> Result<Figures, StoreError> {
        let paused = self.registry.paused();
        let tripped = self.registry.tripped();
        let (channels_paused, channels_tripped) = (paused.len(), tripped.len());
        let mut figures = Figures { channels_paused, channels_tripped, ..Figures::default() };
        for one in self.store.totals().await? {
            if paused.contains(&one.channel) || tripped.contains(&one.channel) {
                figures.held += one.pending + one.retrying;
            } else {
                figures.pending += one.pending;
                figures.retrying += one.retrying;
            }
            figures.dead += one.dead;
        }
        figures.oldest_due = self.oldest_due().await?;
        Ok(figures)
    }

    async fn oldest_due(&self) -> Result<Duration, StoreError> {
        let now = self.clock.now();
        let due = self.dispatch.due().await;
        let mut oldest = due.buffered;
        for (channel, what) in due.in_table {
            // What is due after this comes without its event, and that is everything.
            let without_events = Timestamp::from_ms(i64::MIN);
            let rows = match what {
                LoadWhat::After(after) => self.store.waiting_after(channel, after, without_events, 1).await?,
                LoadWhat::Before(before) => self.store.waiting_before(channel, before, without_events, 1).await?,
                LoadWhat::These(these) => self.store.waiting_these(channel, these, without_events).await?,
            };
            let since = rows.iter().map(|row| due_since(row, now)).filter(|since| *since <= now).min();
            oldest = oldest.into_iter().chain(since).min();
        }
        Ok(oldest.map_or(Duration::ZERO, |since| now.since(since)))
    }
}
