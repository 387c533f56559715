//! The breakers of all channels: fed with outcomes, and what follows from them for the lanes.
//!
//! Only channels that fail have one. That one is open is written down with its announcement, and a start goes on with it;
//! what counts before that is in memory alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::breaker::{Breaker, BreakerRule, Drain, Share, Trip};
use domain::outcome::{Class, Scope};
use domain::schedule::jittered;
use domain::{ChannelId, Timestamp};

use super::Dispatcher;
use super::announce::Moment;
use super::attempt::Answered;
use crate::registry::LiveChannel;

#[derive(Default)]
pub(super) struct Breakers {
    by_channel: BTreeMap<ChannelId, Breaker>,
    /// When open ones may probe.
    probes: BTreeSet<(Timestamp, ChannelId)>,
}

impl Breakers {
    /// When [`Dispatcher::probe`] has something to do next.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.probes.first().map(|(at, _)| *at)
    }

    pub(super) fn is_tripped(&self, channel: ChannelId) -> bool {
        self.by_channel.get(&channel).is_some_and(|breaker| !breaker.is_closed())
    }

    /// Channels whose deliveries are held by a breaker.
    pub(super) fn tripped(&self) -> impl Iterator<Item = ChannelId> {
        self.by_channel.iter().filter(|(_, breaker)| !breaker.is_closed()).map(|(channel, _)| *channel)
    }
}

impl Dispatcher {
    /// Goes on with a breaker that was open when the last process ended. Its first probe is soon.
    pub(super) fn reopen_breaker(&mut self, channel: ChannelId, trip: Trip, now: Timestamp) {
        let Some(live) = self.registry.channel(channel) else { return };
        let rule = live.channel.settings.breaker.unwrap_or_default();
        let probe_at = now.after(jittered(rule.probe_first, self.entropy.number()));
        self.ensure_lane(channel, now);
        self.breakers.by_channel.insert(channel, Breaker::reopened(trip.since, probe_at));
        self.breakers.probes.insert((probe_at, channel));
        self.lanes.share(channel, Share::Nothing, now);
        live.trip.set(Some(Trip { probe_at, ..trip }));
        self.begin_hold(channel);
    }

    /// Feeds what came of a try. Returns whether the delivery is held, uncounted, because its channel is tripped.
    ///
    /// An operational event that fails trips nothing: a trip is told, and would be told of what was told.
    pub(super) fn feed_breaker(&mut self, live: &Arc<LiveChannel>, answered: &Answered, now: Timestamp) -> bool {
        let (outcome, delivery) = (&answered.outcome, answered.flight.delivery);
        let channel = live.channel.id;
        let rule = live.channel.settings.breaker.unwrap_or_default();
        let is_failure = matches!(outcome.class, Class::Retry | Class::Unknown);
        if is_failure && answered.is_own() && !self.breakers.is_tripped(channel) {
            return false;
        }
        let is_known = self.breakers.by_channel.contains_key(&channel);
        // Nearly every channel delivers: it has no breaker to be fed.
        if !is_known && (!is_failure || rule.failures == 0) {
            return false;
        }
        let random = self.entropy.number();
        let breaker = self.breakers.by_channel.entry(channel).or_default();
        let was_closed = breaker.is_closed();
        match outcome.class {
            Class::Retry | Class::Unknown => breaker.failed(&rule, delivery, now, random),
            Class::Delivered => breaker.answered(live.channel.settings.concurrency),
            Class::Permanent if outcome.scope == Scope::Message => breaker.answered(live.channel.settings.concurrency),
            // A pause of its own kind, of which a breaker knows nothing.
            Class::Permanent | Class::Throttled => {}
        }
        let trip = breaker.trip(answered.code(), &outcome.note);
        let is_held = is_failure && trip.is_some();
        self.moved(live, was_closed, trip.filter(|_| is_failure), rule, now);
        is_held
    }

    /// Gives lane, registry and owner what follows from a breaker. `trip` is news of one.
    fn moved(
        &mut self,
        live: &Arc<LiveChannel>,
        was_closed: bool,
        trip: Option<Trip>,
        rule: BreakerRule,
        now: Timestamp,
    ) {
        let Some(breaker) = self.breakers.by_channel.get(&live.channel.id) else { return };
        let (channel, tenant) = (live.channel.id, live.channel.tenant);
        let (share, is_closed) = (breaker.share(), breaker.is_closed());
        if let Some(trip) = trip {
            if was_closed {
                let failures = rule.failures;
                tracing::warn!(%channel, reason = %trip.reason, failures, "channel tripped: its deliveries wait for a probe");
                self.announce(Moment::Tripped(tenant, channel, trip.clone()), true);
                self.begin_hold(channel);
            }
            if share == Share::Nothing {
                self.breakers.probes.insert((trip.probe_at, channel));
            }
            live.trip.set(Some(trip));
        }
        if is_closed && !was_closed {
            tracing::info!(%channel, "channel recovered: it takes deliveries again");
            if let Some(trip) = live.tripped() {
                self.announce(Moment::Recovered(tenant, channel, trip), true);
            }
            live.trip.set(None);
            self.end_hold(channel);
        }
        if !(is_closed && was_closed) {
            self.lanes.share(channel, share, now);
        }
        // One that counts nothing is as good as none.
        if self.breakers.by_channel.get(&channel).is_some_and(Breaker::is_idle) {
            self.breakers.by_channel.remove(&channel);
        }
    }

    /// Lets those probe whose time has come.
    pub(super) fn probe(&mut self, now: Timestamp) {
        while let Some((at, channel)) = self.breakers.probes.first().copied()
            && at <= now
        {
            self.breakers.probes.pop_first();
            if let Some(breaker) = self.breakers.by_channel.get_mut(&channel)
                && breaker.advance(now)
            {
                let share = breaker.share();
                let rule = self.registry.channel(channel).and_then(|live| live.channel.settings.breaker);
                if rule.unwrap_or_default().drain == Drain::NewestFirst && self.lanes.turn_over(channel) {
                    self.digests.forget(channel);
                }
                self.lanes.share(channel, share, now);
            }
        }
    }

    /// Closes the breaker of a channel that its owner has changed: what it is now has not been tried.
    pub(super) fn reset_breaker(&mut self, channel: ChannelId, now: Timestamp) {
        if self.breakers.by_channel.remove(&channel).is_some_and(|breaker| !breaker.is_closed()) {
            self.breakers.probes.retain(|(_, one)| *one != channel);
            self.lanes.share(channel, Share::Everything, now);
            if let Some(live) = self.registry.channel(channel) {
                live.trip.set(None);
            }
            self.end_hold(channel);
        }
    }
}
