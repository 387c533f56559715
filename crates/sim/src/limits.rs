//! Limits and order, as a receiver and an owner see them: held against every request that goes out.

use std::collections::BTreeMap;

use domain::channel::RateLimit;
use domain::{ChannelId, DeliveryId, Timestamp};
use engine::dispatch::attempt::Flight;
use store::queue::{Next, Settlement};

use crate::model::{Broken, deliveries_of};

/// What was seen of the channels that have a limit or an order.
#[derive(Debug)]
pub struct Limits {
    /// Whether the wall clock has not gone back in this life.
    is_clock_right: bool,
    /// When requests went out in this life.
    starts: BTreeMap<ChannelId, Vec<Timestamp>>,
    /// FIFO: what waits for another try, with how often its channel had been changed by then.
    heads: BTreeMap<ChannelId, BTreeMap<DeliveryId, u32>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { is_clock_right: true, starts: BTreeMap::new(), heads: BTreeMap::new() }
    }
}

impl Limits {
    /// The wall clock goes back.
    pub fn doubt_clock(&mut self) {
        self.is_clock_right = false;
    }

    /// A request goes out, while so many others of its channel are not durably settled. `waits` says what the store does of
    /// a delivery.
    pub fn start(
        &mut self,
        flight: &Flight,
        others: usize,
        changes: u32,
        now: Timestamp,
        waits: impl Fn(DeliveryId) -> bool,
    ) -> Result<(), Broken> {
        let Flight { delivery, channel, .. } = *flight;
        let settings = &flight.live.channel.settings;
        if let Some(trip) = flight.live.tripped().filter(|trip| now < trip.probe_at && self.is_clock_right) {
            return Err(format!("delivery {delivery} was started before the probe of channel {channel}: {trip:?}"));
        }
        if let Some(limit) = settings.rate_limit {
            let starts = self.starts.entry(channel).or_default();
            // The clock has gone back: what was before it says nothing.
            if starts.last().is_some_and(|last| *last > now) {
                starts.clear();
            }
            starts.push(now);
            if is_beyond(starts, limit) {
                return Err(format!("delivery {delivery} was started beyond the rate of channel {channel}"));
            }
        }
        if settings.is_fifo {
            if others > 0 {
                return Err(format!("delivery {delivery} was started beside another of channel {channel}, in order"));
            }
            let heads = self.heads.entry(channel).or_default();
            // Those of a digest go together, whichever of them was asked for.
            let together = deliveries_of(flight);
            for one in &together {
                heads.remove(one);
            }
            let first = together.into_iter().min().unwrap_or(delivery);
            // What an owner or an expiry has taken away since is not told here.
            heads.retain(|head, then| *head >= first || *then != changes || waits(*head));
            let older = heads.iter().find(|(head, then)| **head < first && **then == changes);
            if let Some((head, _)) = older {
                return Err(format!(
                    "delivery {delivery} was started before {head}, which waits, of channel {channel}"
                ));
            }
        }
        Ok(())
    }

    /// The dispatcher has decided what is next.
    pub fn decide(&mut self, settlement: &Settlement, changes: u32) {
        let heads = self.heads.entry(settlement.channel).or_default();
        match settlement.next {
            Next::Wait { .. } => drop(heads.insert(settlement.delivery, changes)),
            Next::Over { .. } => drop(heads.remove(&settlement.delivery)),
        }
    }

    /// The process is gone: the next one begins as if its rates had been used.
    pub fn die(&mut self) {
        self.starts.clear();
        self.is_clock_right = true;
    }
}

/// Whether the last of these starts was one too many, whichever of them the burst began with.
fn is_beyond(starts: &[Timestamp], limit: RateLimit) -> bool {
    let Some((last, before)) = starts.split_last() else { return false };
    let period_ms = limit.per.length().as_millis();
    let burst = u128::from(limit.burst.unwrap_or(limit.count));
    before.iter().rev().zip(2_u128..).any(|(first, count)| {
        let since_ms = last.since(*first).as_millis();
        // One more for the parts of a millisecond that times do not show.
        count > burst + (since_ms + 1) * u128::from(limit.count) / period_ms + 1
    })
}
