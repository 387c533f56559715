//! What of a tenant needs somebody to look at it.

use domain::channel::Pause;
use domain::{ChannelId, TenantId};
use store::journal::StatsQuery;

use super::{Engine, OpsError};

/// What needs attention now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attention {
    /// Channels that Postrider has paused, in order of id.
    pub paused: Vec<PausedChannel>,
    /// Channels with deliveries that wait for another attempt, in order of id.
    pub failing: Vec<FailingChannel>,
    /// Deliveries that gave up.
    pub dead: u64,
}

/// A channel that everything sent to is refused by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedChannel {
    pub id: ChannelId,
    pub name: String,
    pub pause: Pause,
    /// Deliveries that wait for its owner.
    pub held: u64,
}

/// A channel whose last attempts failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingChannel {
    pub id: ChannelId,
    pub name: String,
    pub retrying: u64,
}

/// Channels read from the registry at a time.
const PAGE: usize = 1000;

impl Engine {
    /// What needs attention now: from the sums of the store and the configuration in memory, counting nothing.
    pub async fn attention(&self, tenant: TenantId) -> Result<Attention, OpsError> {
        let query = StatsQuery { since: self.clock.now(), channel: None, event_types: None };
        let stats = self.store.stats(tenant, query).await?;
        let waiting_of = |id: ChannelId| {
            let found = stats.waiting.binary_search_by_key(&id, |(channel, ..)| *channel).ok();
            found.map_or((0, 0), |at| (stats.waiting[at].1, stats.waiting[at].2))
        };
        let mut attention = Attention { dead: stats.dead, ..Attention::default() };
        let mut after = ChannelId(0);
        loop {
            let page = self.registry.channels(tenant, after, PAGE);
            for live in &page {
                let (id, name) = (live.channel.id, &live.channel.settings.name);
                let (pending, retrying) = waiting_of(id);
                if let Some(pause) = live.channel.pause.clone() {
                    let held = pending + retrying;
                    attention.paused.push(PausedChannel { id, name: name.clone(), pause, held });
                } else if retrying > 0 {
                    attention.failing.push(FailingChannel { id, name: name.clone(), retrying });
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.channel.id,
                _ => return Ok(attention),
            }
        }
    }
}
