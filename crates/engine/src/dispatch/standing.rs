//! How deliveries stand that wait, beyond what the store tells of them: for people who ask.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ChannelId, DeliveryId, Timestamp};

use super::Dispatcher;

/// What dispatch knows of deliveries that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Started and not durably settled.
    pub under_way: BTreeSet<DeliveryId>,
    /// Collected for a digest, and until when.
    pub collected: BTreeMap<DeliveryId, Timestamp>,
}

impl Dispatcher {
    /// How these deliveries stand.
    pub fn standing(&self, deliveries: &[(ChannelId, DeliveryId)]) -> Standing {
        let mut standing = Standing::default();
        for (channel, delivery) in deliveries {
            if self.is_under_way(*channel, *delivery) {
                standing.under_way.insert(*delivery);
            } else if let Some(until) = self.digests.ends_at(*channel, *delivery) {
                standing.collected.insert(*delivery, until);
            }
        }
        standing
    }
}
