//! What redrives bring back, as the store tells how far each has come.

use domain::DeliveryId;
use domain::delivery::State;
use domain::redrive::{Redrive, Source};
use store::Redrives as _;

use crate::process::read;
use crate::world::World;

/// More redrives than any tenant orders.
const REDRIVES_MAX: usize = 1_000;

impl World {
    /// How many redrives may have taken a dead letter: they are for its channel, and have come that far. The deliveries of
    /// a digest come back together, with the first of them and no other.
    pub(crate) fn redrives_reaching(&self, delivery: DeliveryId) -> usize {
        let Some(process) = &self.process else { return 0 };
        let Some((tenant, channel)) = self.model.owners.get(&delivery).copied() else { return 0 };
        let first = self.model.together(delivery).into_iter().min().unwrap_or(delivery);
        let reaches = |redrive: &&Redrive| {
            redrive.source == Source::Dead
                && redrive.wanted.channel.is_none_or(|wanted| wanted == channel)
                && redrive.reached >= first.0
                && redrive.up_to >= first.0
        };
        let known = read(process.store.redrives(tenant, None, REDRIVES_MAX)).unwrap_or_default();
        known.iter().filter(reaches).count()
    }

    /// Takes it that a redrive has brought back what is about to go out although it was dead, where one can have done so.
    pub(crate) fn take_redriven(&mut self, deliveries: &[DeliveryId]) {
        let is_dead = |delivery: &&DeliveryId| self.model.over.get(delivery) == Some(&State::Dead);
        let dead: Vec<_> = deliveries.iter().filter(is_dead).copied().collect();
        let is_left = |delivery: &DeliveryId| {
            self.redrives_reaching(*delivery) > self.model.redriven.get(delivery).copied().unwrap_or(0)
        };
        if dead.iter().any(is_left) {
            for delivery in dead {
                self.model.is_redriven(delivery);
            }
        }
    }
}
