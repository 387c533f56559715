//! Order within a lane: what has to start before anything else may.
//!
//! Most lanes start what waits in about the order in which it came, and a delivery that is tried again comes back when it
//! is due. A FIFO lane starts the oldest that waits, one at a time, and nothing while that one waits for its next try. In
//! any lane the rest of a message that goes out in parts comes before other messages.

use std::collections::BTreeSet;

use crate::DeliveryId;

#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) is_fifo: bool,
    /// Whose parts are on their way: nothing else starts before it does.
    first: Option<DeliveryId>,
    /// FIFO: those that wait for a later try, or to be read for it.
    later: BTreeSet<DeliveryId>,
}

impl Order {
    /// Whether this delivery, which stands in front, may start while so many are started and not durably settled.
    pub(super) fn lets(&self, front: DeliveryId, under_way: usize) -> bool {
        let is_first = self.first.is_none_or(|first| first == front);
        is_first && (!self.is_fifo || (under_way == 0 && self.later.first().is_none_or(|oldest| front < *oldest)))
    }

    /// Whether what is in memory may have to wait for what is not: that has to be read, however full the memory is.
    pub(super) fn is_held_up(&self) -> bool {
        self.first.is_some() || !self.later.is_empty()
    }

    /// Whether others wait for this delivery.
    pub(super) fn holds_up(&self, delivery: DeliveryId) -> bool {
        self.first == Some(delivery) || self.later.contains(&delivery)
    }

    /// The oldest that waits for a later try.
    pub(super) fn oldest_later(&self) -> Option<DeliveryId> {
        self.later.first().copied()
    }

    pub(super) fn go_on_with(&mut self, delivery: DeliveryId) {
        self.first = Some(delivery);
    }

    pub(super) fn first(&self) -> Option<DeliveryId> {
        self.first
    }

    pub(super) fn started(&mut self, delivery: DeliveryId) {
        self.first = self.first.filter(|first| *first != delivery);
    }

    /// The delivery waits for a later try.
    pub(super) fn waits(&mut self, delivery: DeliveryId) {
        if self.is_fifo {
            self.later.insert(delivery);
        }
    }

    /// The delivery waits no longer: it is in memory, or over.
    pub(super) fn waits_no_longer(&mut self, delivery: DeliveryId) {
        self.later.remove(&delivery);
    }

    pub(super) fn forget(&mut self) {
        self.first = None;
        self.later.clear();
    }
}
