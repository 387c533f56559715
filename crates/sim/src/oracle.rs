//! Who is to hear of an event, worked out a second time: as plainly as it can be said, with nothing of the engine's code.
//!
//! It speaks only of channels of which everything is certain: whoever is asked to change one meanwhile, or does not know
//! whether a change was made, makes it doubtful.

use std::collections::BTreeMap;

use domain::{ChannelId, DeliveryId, TenantId};

use crate::model::{Broken, Item, Model};

/// What an owner wants a channel to hear of.
#[derive(Clone, Copy, Debug)]
pub struct RouteWish {
    pub patterns: &'static [&'static str],
    /// Only events with an amount of at least [`AMOUNT_MIN`].
    pub is_filtered: bool,
}

/// What a filter asks for.
pub(crate) const AMOUNT_MIN: u64 = 50;

/// The amount in the data of an event with this serial.
pub(crate) const fn amount(serial: u64) -> u64 {
    serial % 100
}

impl RouteWish {
    fn hears(&self, item: &Item) -> bool {
        let is_wanted = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(beginning) => item.event_type.starts_with(beginning),
            None => item.event_type == *pattern,
        };
        self.patterns.iter().any(is_wanted) && (!self.is_filtered || amount(item.serial) >= AMOUNT_MIN)
    }
}

/// For each channel that is certain: how often it had been changed, and whether it is to hear of the event.
pub(crate) type Expected = BTreeMap<ChannelId, (u32, bool)>;

/// What is expected of an event that is posted now.
pub(crate) fn expect(model: &Model, tenant: TenantId, item: &Item) -> Expected {
    let certain = model.channels.iter().filter(|(_, belief)| belief.tenant == tenant && belief.hearing.is_certain());
    let hears = |(id, belief): (&ChannelId, &crate::model::ChannelBelief)| {
        let is_wanted = match &item.channels {
            Some(named) => named.contains(id),
            None => belief.hearing.routes.is_some_and(|routes| routes.hears(item)),
        };
        (*id, (belief.changes, is_wanted && !belief.is_off && !belief.is_deleted))
    };
    certain.map(hears).collect()
}

/// Holds what an event became against what was expected, as far as nothing has changed since.
pub(crate) fn check(
    model: &Model,
    serial: u64,
    expected: &Expected,
    deliveries: &[(DeliveryId, ChannelId)],
) -> Result<(), Broken> {
    for (channel, (changes, is_wanted)) in expected {
        let belief = &model.channels[channel];
        let is_delivered = deliveries.iter().any(|(_, one)| one == channel);
        if belief.hearing.is_certain() && belief.changes == *changes && is_delivered != *is_wanted {
            return Err(format!(
                "channel {channel} is to hear of the event {serial}: {is_wanted}; it does: {is_delivered}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_owners_mean_it() {
        let item = |event_type, serial| Item { serial, event_type, channels: None, key: None };
        let wish = |patterns, is_filtered| RouteWish { patterns, is_filtered };
        assert!(wish(&["*"], false).hears(&item("ping", 1)));
        assert!(wish(&["user.created", "order.*"], false).hears(&item("order.paid", 1)));
        assert!(!wish(&["order.*"], false).hears(&item("ping", 1)));
        assert!(!wish(&[], false).hears(&item("ping", 1)));
        assert!(wish(&["ping"], true).hears(&item("ping", 150)));
        assert!(!wish(&["ping"], true).hears(&item("ping", 149)));
    }
}
