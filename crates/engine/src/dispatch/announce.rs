//! Announcements: moments of channels that their owners are told of, and how often.
//!
//! A moment of a channel (tripped, recovered, paused) is kept as an event first and as a state second, and both are tried
//! until the store has them: so what a start finds was told, and it is told again only when the process died between the
//! two. That a delivery died is told after it is durable, at most [`TOLD_MAX`] times a minute for one channel; what a
//! crash interrupts there is not told again, and the dead letter itself says what happened.
//!
//! What comes of delivering an operational event is announced by no other one: the route cannot loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::breaker::Trip;
use domain::channel::Pause;
use domain::delivery::State;
use domain::event::OWN_PREFIX;
use domain::{ChannelId, DeliveryId, EventId, ReasonCode, TenantId, Timestamp};
use store::queue::{Next, Settlement};

use super::{Action, Dispatcher, Work};

/// Dead deliveries of one channel that are told of one by one within [`SPAN`]; the others are counted.
pub const TOLD_MAX: u32 = 10;

/// How long dead deliveries are counted together.
const SPAN: Duration = Duration::from_secs(60);

/// Announcements that are kept one after the other before dispatch is told.
const AT_ONCE: usize = 32;

/// Something about a channel that its owner wants to hear of.
#[derive(Clone, Debug)]
pub enum Moment {
    /// It fails, and holds what it has.
    Tripped(TenantId, ChannelId, Trip),
    /// It works again, after this.
    Recovered(TenantId, ChannelId, Trip),
    /// Everything sent to it is refused.
    Disabled(TenantId, ChannelId, Pause),
    /// One of its deliveries was given up.
    Died(Box<Death>),
}

impl Moment {
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Tripped(tenant, ..) | Self::Recovered(tenant, ..) | Self::Disabled(tenant, ..) => *tenant,
            Self::Died(death) => death.tenant,
        }
    }

    pub fn channel(&self) -> ChannelId {
        match self {
            Self::Tripped(_, channel, _) | Self::Recovered(_, channel, _) | Self::Disabled(_, channel, _) => *channel,
            Self::Died(death) => death.channel,
        }
    }
}

/// A delivery that was given up.
#[derive(Clone, Debug)]
pub struct Death {
    pub tenant: TenantId,
    pub channel: ChannelId,
    pub delivery: DeliveryId,
    pub event: EventId,
    pub event_type: Arc<str>,
    pub attempts: u32,
    /// Every try: a delivery may die again after a person has had it tried.
    pub tries: u32,
    pub code: ReasonCode,
    /// In words; holds no secret.
    pub reason: String,
    pub died_at: Timestamp,
    /// How many of the same channel died with it and are not told of.
    pub left_out: u64,
}

impl Death {
    /// `None` for what is no death, and for that of an operational event: of it nothing is told.
    fn of(settlement: &Settlement) -> Option<Self> {
        let Next::Over { state: State::Dead, code, note } = &settlement.next else { return None };
        (!is_own(&settlement.event_type)).then(|| Self {
            tenant: settlement.tenant,
            channel: settlement.channel,
            delivery: settlement.delivery,
            event: settlement.event,
            event_type: Arc::clone(&settlement.event_type),
            attempts: settlement.attempts,
            tries: settlement.tries_before + 1,
            code: *code,
            reason: note.clone(),
            died_at: settlement.settled_at,
            left_out: 0,
        })
    }
}

/// A moment to be kept.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub moment: Moment,
    /// Whether an event tells of it. What comes of such an event itself is only written down.
    pub is_told: bool,
}

/// Whether events of this type are Postrider's own.
pub(super) fn is_own(event_type: &str) -> bool {
    event_type.starts_with(OWN_PREFIX)
}

/// What is to be kept, in the order in which it happened.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    waiting: VecDeque<Announcement>,
    is_under_way: bool,
    deaths: Deaths,
}

impl Announcements {
    /// Whether everything is kept.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_under_way && self.deaths.by_channel.values().all(|span| span.last.is_none())
    }

    /// When the next count of dead deliveries ends.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.deaths.ends.first().map(|(at, _)| *at)
    }
}

/// Dead deliveries that are counted, by channel.
#[derive(Debug, Default)]
struct Deaths {
    by_channel: BTreeMap<ChannelId, Span>,
    ends: BTreeSet<(Timestamp, ChannelId)>,
}

#[derive(Debug, Default)]
struct Span {
    told: u32,
    /// The last that was not told of; it counts the others.
    last: Option<Death>,
}

impl Deaths {
    /// Counts a death. Gives it back when it is told of at once.
    fn count(&mut self, death: Death, now: Timestamp) -> Option<Death> {
        let span = self.by_channel.entry(death.channel).or_insert_with(|| {
            self.ends.insert((now.after(SPAN), death.channel));
            Span::default()
        });
        if span.told < TOLD_MAX {
            span.told += 1;
            return Some(death);
        }
        let left_out = span.last.take().map_or(0, |last| last.left_out + 1);
        span.last = Some(Death { left_out, ..death });
        None
    }

    /// Ends the counts whose time is over. Gives what was counted in each.
    fn end(&mut self, by: Timestamp) -> Vec<Death> {
        let mut counted = Vec::new();
        while let Some((at, channel)) = self.ends.first().copied()
            && at <= by
        {
            self.ends.pop_first();
            counted.extend(self.by_channel.remove(&channel).and_then(|span| span.last));
        }
        counted
    }
}

impl Dispatcher {
    /// Has a moment kept, and tells the observer.
    pub(super) fn announce(&mut self, moment: Moment, is_told: bool) {
        self.actions.push(Action::Tell(moment.clone()));
        self.announcements.waiting.push_back(Announcement { moment, is_told });
    }

    /// Tells of a delivery that was given up, if it was, now that this is durable.
    pub(super) fn announce_death(&mut self, settlement: &Settlement, now: Timestamp) {
        let told = Death::of(settlement).and_then(|death| self.announcements.deaths.count(death, now));
        if let Some(death) = told {
            self.announce(Moment::Died(Box::new(death)), true);
        }
    }

    /// Tells of what was counted for long enough; of everything when the process is about to end.
    pub(super) fn end_counts(&mut self, now: Timestamp) {
        let by = if self.is_stopping { Timestamp::from_ms(i64::MAX) } else { now };
        for death in self.announcements.deaths.end(by) {
            self.announce(Moment::Died(Box::new(death)), true);
        }
    }

    /// Hands out what is to be kept, some at a time.
    pub(super) fn keep_announcements(&mut self) {
        let announcements = &mut self.announcements;
        if announcements.is_under_way || announcements.waiting.is_empty() {
            return;
        }
        announcements.is_under_way = true;
        let count = announcements.waiting.len().min(AT_ONCE);
        let some = announcements.waiting.drain(..count).collect();
        self.actions.push(Action::Announce(some));
    }

    /// Announcements were kept but for these. `expands` says that an event of them has a large fan-out.
    pub(super) fn announced(&mut self, left: Vec<Announcement>, expands: bool, now: Timestamp) {
        self.announcements.is_under_way = false;
        if expands {
            self.work.insert(Work::Expand);
        }
        if !left.is_empty() {
            self.rest(now);
        }
        left.into_iter().rev().for_each(|one| self.announcements.waiting.push_front(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn death(channel: i64, delivery: i64) -> Death {
        Death {
            tenant: TenantId(1),
            channel: ChannelId(channel),
            delivery: DeliveryId(delivery),
            event: EventId(delivery),
            event_type: "a".into(),
            attempts: 1,
            tries: 1,
            code: ReasonCode::AttemptsUsedUp,
            reason: "gave up".to_owned(),
            died_at: NOW,
            left_out: 0,
        }
    }

    #[test]
    fn a_storm_of_deaths_is_told_in_part_and_counted() {
        let mut deaths = Deaths::default();
        let told = (1..=30).filter(|delivery| deaths.count(death(1, *delivery), NOW).is_some()).count();
        assert_eq!(told, TOLD_MAX as usize);
        assert!(deaths.count(death(2, 99), NOW).is_some(), "another channel is counted by itself");
        assert!(deaths.end(NOW.after(SPAN / 2)).is_empty());
        let counted = deaths.end(NOW.after(SPAN));
        assert_eq!(counted.iter().map(|one| (one.delivery.0, one.left_out)).collect::<Vec<_>>(), [(30, 19)]);
        assert!(deaths.by_channel.is_empty() && deaths.ends.is_empty(), "nothing is left that could wake anybody");
        assert!(deaths.count(death(1, 31), NOW.after(SPAN)).is_some(), "a new minute");
    }
}
