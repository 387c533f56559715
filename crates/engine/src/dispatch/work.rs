//! Work that the store does for dispatch in slices: what it is, when it is due, and what follows a slice.

use std::time::Duration;

use domain::{ChannelId, DeliveryId, RedriveId, TenantId, Timestamp};

use super::{Action, Dispatcher};
use crate::upkeep::redrive::{NextSlice, Sliced};

/// How often the deliveries of channels that hold are looked through for expired ones.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked for what is old. What is found goes slice after slice, as fast as it may.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// Work in slices that the store does for dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Write a slice of a large fan-out.
    Expand,
    /// Erase a slice of what a deleted tenant has left.
    Purge,
    /// Let go of a slice of what is old.
    Retain,
    /// Cancel a slice of what waits for a channel.
    Cancel(ChannelId),
    /// Expire a slice of what waits for a channel that holds it, and whose time is over.
    Expire(ChannelId),
    /// Expire a slice of what a channel holds beyond its bounds; comes back as [`Input::Trimmed`](super::Input::Trimmed).
    Trim(ChannelId),
}

impl Dispatcher {
    /// Channels that hold what they have, for whatever reason.
    pub(super) fn holding(&self) -> impl Iterator<Item = ChannelId> {
        self.paused.iter().copied().chain(self.breakers.tripped())
    }

    /// Hands out the work that waits, each kind once at a time.
    pub(super) fn do_work(&mut self, now: Timestamp) {
        if self.expiry_due <= now && self.holding().next().is_some() {
            self.expiry_due = now.after(EXPIRY_INTERVAL);
            let due: Vec<Work> = self.holding().map(Work::Expire).collect();
            self.work.extend(due);
            self.trim_old();
        }
        if self.retention_due.is_some_and(|due| due <= now) {
            self.retention_due = Some(now.after(RETENTION_INTERVAL));
            self.work.insert(Work::Retain);
        }
        let due: Vec<Work> = self.work.difference(&self.work_under_way).copied().collect();
        for work in due {
            self.work.remove(&work);
            if let Work::Trim(channel) = work
                && !self.begin_trim(channel)
            {
                continue;
            }
            self.work_under_way.insert(work);
            let under_way = match work {
                Work::Expand | Work::Purge | Work::Retain => Vec::new(),
                Work::Cancel(channel) | Work::Expire(channel) | Work::Trim(channel) => self.under_way_of(channel),
            };
            self.actions.push(Action::Work(work, under_way));
        }
    }

    /// What is under way to a channel, tests among it.
    pub(super) fn under_way_of(&self, channel: ChannelId) -> Vec<DeliveryId> {
        let mut under_way = self.lanes.under_way(channel);
        under_way.extend(self.digests.flying(channel));
        under_way.extend(self.tests.iter().filter(|(_, of)| **of == channel).map(|(test, _)| *test));
        under_way
    }

    pub(super) fn work_done(&mut self, work: Work, more: Option<bool>, now: Timestamp) {
        self.work_under_way.remove(&work);
        match (more, work) {
            (Some(true), _) => drop(self.work.insert(work)),
            (Some(false), Work::Cancel(channel)) => self.end_cancellation(channel),
            (Some(false), _) => {}
            (None, _) => {
                self.work.insert(work);
                self.rest(now);
            }
        }
    }

    /// Takes into the lanes what a redrive has brought back; what it has made arrives by itself.
    pub(super) fn redriven(&mut self, redrive: (TenantId, RedriveId), sliced: Sliced, now: Timestamp) {
        for (channel, delivery) in sliced.touched {
            self.ensure_lane(channel, now);
            if self.is_ordered_cancelled(channel, delivery) {
                self.work.insert(Work::Cancel(channel));
            } else {
                self.holds_again(channel);
                self.lanes.recall(channel, delivery);
            }
        }
        if sliced.next == NextSlice::Again {
            self.rest(now);
        }
        self.redrives.done(redrive, sliced.next, now);
    }

    /// Whether an order to cancel covers a delivery, and is not carried out yet.
    pub(super) fn is_ordered_cancelled(&self, channel: ChannelId, delivery: DeliveryId) -> bool {
        self.cancelled.get(&channel).is_some_and(|order| delivery <= order.up_to)
    }

    /// Forgets an order that is carried out: what is retried later is not covered by it.
    fn end_cancellation(&mut self, channel: ChannelId) {
        let Some(up_to) = self.cancelled.get(&channel).map(|order| order.up_to) else { return };
        if !self.under_way_of(channel).iter().any(|delivery| *delivery <= up_to) {
            self.cancelled.remove(&channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::event::{Event, NewEvent};
    use domain::{EventId, ReasonCode};
    use store::queue::{Arrival, Cancellation};

    use super::super::{Found, Input};
    use super::*;
    use crate::random::Entropy;
    use crate::registry::Registry;
    use crate::settings::Settings;

    const CHANNEL: ChannelId = ChannelId(1);
    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn dispatcher() -> Dispatcher {
        let registry = Arc::new(Registry::of_nothing());
        Dispatcher::new(registry, Arc::new(Zeros), &Settings::default(), Found::default(), NOW)
    }

    fn arrival(delivery: i64) -> Arrival {
        let content = NewEvent {
            tenant: TenantId(1),
            event_type: "a".into(),
            data: "{}".into(),
            occurred_at: NOW,
            severity: None,
            explicit_channels: None,
            trace: None,
        };
        Arrival {
            delivery: DeliveryId(delivery),
            channel: CHANNEL,
            created_at: NOW,
            expires_at: Timestamp::from_ms(i64::MAX),
            attempts_max: None,
            event: Arc::new(Event { id: EventId(1), accepted_at: NOW, content: Arc::new(content) }),
        }
    }

    fn is_cancelling(actions: &[Action]) -> bool {
        actions.iter().any(|action| matches!(action, Action::Work(Work::Cancel(CHANNEL), _)))
    }

    fn is_loading(actions: &[Action]) -> bool {
        actions.iter().any(|action| matches!(action, Action::Load(load) if load.channel == CHANNEL))
    }

    /// What it wants done now; the table, when it is read, is empty.
    fn step(dispatcher: &mut Dispatcher) -> Vec<Action> {
        let actions = dispatcher.actions(NOW);
        for action in &actions {
            if let Action::Load(load) = action {
                dispatcher.handle(Input::Loaded(load.clone(), Some(Vec::new())), NOW);
            }
        }
        actions
    }

    /// The first two deliveries of the channel are to be cancelled, and the store has gone through them.
    fn cancel_two(dispatcher: &mut Dispatcher) {
        let order = Cancellation {
            channel: CHANNEL,
            up_to: DeliveryId(2),
            code: ReasonCode::ChannelSwitchedOff,
            reason: "off".to_owned(),
        };
        dispatcher.handle(Input::Cancelled(order), NOW);
        assert!(is_cancelling(&step(dispatcher)));
        dispatcher.handle(Input::WorkDone(Work::Cancel(CHANNEL), Some(false)), NOW);
    }

    /// A channel that is switched off while its second delivery is under way: the order to cancel stands until the result
    /// of that is durable. Gives that result.
    fn under_an_order() -> (Dispatcher, Input) {
        let mut dispatcher = dispatcher();
        dispatcher.handle(Input::Arrived(vec![arrival(2)]), NOW);
        let mut actions = step(&mut dispatcher);
        let place = actions.iter().position(|action| matches!(action, Action::Settle(_))).expect("it is over");
        let Action::Settle(results) = actions.swap_remove(place) else { unreachable!("found above") };
        cancel_two(&mut dispatcher);
        assert!(!is_cancelling(&step(&mut dispatcher)), "it waits for the second");
        (dispatcher, Input::Settled(results.into()))
    }

    /// What brings the first delivery back is cancelled with the rest as long as the order stands, and tried afterwards.
    fn check(bring_back: impl Fn() -> Input) {
        let (mut dispatcher, settled) = under_an_order();
        dispatcher.handle(bring_back(), NOW);
        let actions = step(&mut dispatcher);
        assert!(is_cancelling(&actions) && !is_loading(&actions), "{actions:?}");
        dispatcher.handle(Input::WorkDone(Work::Cancel(CHANNEL), Some(false)), NOW);
        dispatcher.handle(settled, NOW);
        assert!(is_cancelling(&step(&mut dispatcher)), "now it can be carried out to the end");
        dispatcher.handle(Input::WorkDone(Work::Cancel(CHANNEL), Some(false)), NOW);
        dispatcher.handle(bring_back(), NOW);
        let actions = step(&mut dispatcher);
        assert!(is_loading(&actions) && !is_cancelling(&actions), "{actions:?}");
    }

    #[test]
    fn a_retry_under_an_order_to_cancel_is_cancelled_with_the_rest() {
        check(|| Input::RetryAsked(CHANNEL, DeliveryId(1)));
    }

    /// The store's order ends without it; ours would stand for ever, and swallow the next retry.
    #[test]
    fn a_test_of_another_channel_does_not_keep_an_order_to_cancel() {
        let mut dispatcher = dispatcher();
        let test = Arrival { channel: ChannelId(2), attempts_max: Some(1), ..arrival(1) };
        dispatcher.handle(Input::Arrived(vec![test]), NOW);
        step(&mut dispatcher);
        assert!(dispatcher.is_test_under_way(DeliveryId(1)));
        cancel_two(&mut dispatcher);
        dispatcher.handle(Input::RetryAsked(CHANNEL, DeliveryId(2)), NOW);
        let actions = step(&mut dispatcher);
        assert!(is_loading(&actions) && !is_cancelling(&actions), "{actions:?}");
    }

    #[test]
    fn a_redrive_under_an_order_to_cancel_is_cancelled_with_the_rest() {
        let sliced = || Sliced { touched: vec![(CHANNEL, DeliveryId(1))], next: NextSlice::Never };
        check(|| Input::Redriven(TenantId(1), RedriveId(1), sliced()));
    }
}
