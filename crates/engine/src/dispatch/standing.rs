//! How deliveries stand that wait, beyond what the store tells of them: for people who ask.

use std::collections::{BTreeMap, BTreeSet};

use domain::lane::Wait;
use domain::{ChannelId, DeliveryId, Timestamp};

use super::Dispatcher;

/// What dispatch knows of deliveries that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Started and not durably settled.
    pub under_way: BTreeSet<DeliveryId>,
    /// Collected for a digest, and until when.
    pub collected: BTreeMap<DeliveryId, Timestamp>,
    /// Held back by more than what is before them.
    pub waits: BTreeMap<DeliveryId, Wait>,
}

impl Dispatcher {
    /// How these deliveries stand.
    pub fn standing(&self, deliveries: &[(ChannelId, DeliveryId)], now: Timestamp) -> Standing {
        let mut standing = Standing::default();
        for (channel, delivery) in deliveries {
            if self.is_under_way(*channel, *delivery) {
                standing.under_way.insert(*delivery);
            } else if let Some(until) = self.digests.ends_at(*channel, *delivery) {
                standing.collected.insert(*delivery, until);
            } else if let Some(wait) = self.lanes.waits_for(*channel, *delivery, now) {
                standing.waits.insert(*delivery, wait);
            }
        }
        standing
    }

    /// Whether this delivery is started and not durably settled.
    pub fn is_under_way(&self, channel: ChannelId, delivery: DeliveryId) -> bool {
        self.tests.contains_key(&delivery)
            || self.lanes.is_under_way(channel, delivery)
            || self.digests.is_flying(channel, delivery)
    }

    /// How many deliveries to these channels are started and not durably settled.
    pub fn under_way_count(&self, channels: &BTreeSet<ChannelId>) -> usize {
        let in_lanes: usize = channels.iter().map(|channel| self.lanes.under_way_count(*channel)).sum();
        in_lanes + self.tests.values().filter(|channel| channels.contains(channel)).count()
    }

    /// Whether this test is started and not durably settled.
    pub fn is_test_under_way(&self, test: DeliveryId) -> bool {
        self.tests.contains_key(&test)
    }
}
