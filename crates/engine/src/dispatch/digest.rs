//! Digests in dispatch: what is collected, what is being sealed, and which deliveries move together.
//!
//! A delivery that may be merged is set aside by its lane and collected ([`domain::digest`]). A window that closes with one
//! delivery lets it go by itself. One with several is sealed in the store ([`Action::Seal`]); from then on its first
//! delivery, the *lead*, stands for it in the lane, and the others stay aside until the digest is over. Everything here can
//! be forgotten: open windows follow from what waits, sealed digests are in the table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::channel::DigestRule;
use domain::delivery::State;
use domain::digest::{Closed, Collector, Item};
use domain::lane::{Load, LoadWhat};
use domain::{ChannelId, DeliveryId, DigestId, Timestamp};
use store::digest::SealedDigest;
use store::queue::{Next, Settlement, Waiting};

use super::attempt::Content;
use super::{Action, Dispatcher, Work};

/// Windows that are sealed at a time: each is read, rendered and written whole.
const SEALS_AT_ONCE: usize = 4;

/// A closed window that is to be sealed.
#[derive(Clone, Debug)]
pub struct Seal {
    pub channel: ChannelId,
    pub closed: Closed,
}

/// What came of a [`Seal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// These are one digest. Those that were asked for and are not among them are to be looked at again.
    Digest(DigestId, Vec<DeliveryId>),
    /// Nothing was written, and these go by themselves.
    Alone(Vec<DeliveryId>),
    /// Nothing was written: the table holds something else than was thought.
    Changed,
}

/// The digests of all channels.
#[derive(Debug, Default)]
pub(super) struct Digests {
    by_channel: BTreeMap<ChannelId, Collecting>,
    /// When the next window of each channel ends.
    ends: BTreeSet<(Timestamp, ChannelId)>,
    /// The first to close comes first.
    to_seal: VecDeque<Seal>,
    seals_under_way: usize,
    /// Digests that were started and are not durably settled, by lead.
    flying: BTreeMap<DeliveryId, (ChannelId, Arc<SealedDigest>)>,
}

/// The digests of one channel.
#[derive(Debug)]
struct Collecting {
    rule: Option<DigestRule>,
    collector: Option<Collector>,
    wake_at: Option<Timestamp>,
    /// Asked to be sealed, and not answered.
    sealing: BTreeSet<DeliveryId>,
    /// Let go by themselves: not to be collected again.
    alone: BTreeSet<DeliveryId>,
    /// Which delivery stands for a sealed digest.
    leads: BTreeMap<DigestId, DeliveryId>,
    /// Which sealed digest a delivery is in.
    members: BTreeMap<DeliveryId, DigestId>,
}

impl Collecting {
    fn new(rule: Option<DigestRule>) -> Self {
        Self {
            collector: rule.as_ref().map(Collector::new),
            rule,
            wake_at: None,
            sealing: BTreeSet::new(),
            alone: BTreeSet::new(),
            leads: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    fn lead_of(&self, delivery: DeliveryId) -> Option<DeliveryId> {
        self.leads.get(self.members.get(&delivery)?).copied()
    }
}

impl Digests {
    /// When the window ends that a delivery waits in.
    pub(super) fn ends_at(&self, channel: ChannelId, delivery: DeliveryId) -> Option<Timestamp> {
        self.by_channel.get(&channel)?.collector.as_ref()?.ends_at(delivery)
    }

    /// Whether a delivery is part of a digest that is under way.
    pub(super) fn is_flying(&self, channel: ChannelId, delivery: DeliveryId) -> bool {
        let lead = self.by_channel.get(&channel).and_then(|place| place.lead_of(delivery));
        lead.is_some_and(|lead| self.flying.contains_key(&lead))
    }

    /// The deliveries of a channel that are under way in digests.
    pub(super) fn flying(&self, channel: ChannelId) -> impl Iterator<Item = DeliveryId> {
        let of_channel = self.flying.values().filter(move |(of, _)| *of == channel);
        of_channel.flat_map(|(_, digest)| digest.members.iter().map(|member| member.delivery))
    }

    /// A delivery is started: with it the digest that it stands for.
    pub(super) fn started(&mut self, channel: ChannelId, delivery: DeliveryId, content: &Content) {
        if let Some(digest) = &content.digest {
            self.flying.insert(delivery, (channel, Arc::clone(digest)));
            // One that was dead and is retried is not in the lane but for its lead.
            let place = self.place(channel, None);
            place.leads.insert(digest.id, delivery);
            place.members.extend(digest.members.iter().map(|member| (member.delivery, digest.id)));
        }
    }

    /// Forgets what can be found in the table again, which is everything but what is under way.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.to_seal.retain(|seal| seal.channel != channel);
        let Some(old) = self.by_channel.remove(&channel) else { return };
        self.ends.retain(|(_, of)| *of != channel);
        let mut new = Collecting::new(old.rule);
        new.leads = old.leads;
        new.leads.retain(|_, lead| self.flying.contains_key(lead));
        new.members = old.members;
        new.members.retain(|_, digest| new.leads.contains_key(digest));
        self.by_channel.insert(channel, new);
    }

    /// The digests of a channel, by the rule that holds now. Whoever changes the rule forgets the old ones first.
    fn place(&mut self, channel: ChannelId, rule: Option<&DigestRule>) -> &mut Collecting {
        let place = self.by_channel.entry(channel).or_insert_with(|| Collecting::new(rule.cloned()));
        if place.collector.is_none() && rule.is_some() {
            place.rule = rule.cloned();
            place.collector = rule.map(Collector::new);
        }
        place
    }

    /// Notes when the next window of a channel ends.
    fn note_end(&mut self, channel: ChannelId) {
        let Some(place) = self.by_channel.get_mut(&channel) else { return };
        let wake_at = place.collector.as_ref().and_then(Collector::wake_at);
        if wake_at != place.wake_at {
            place.wake_at.map(|before| self.ends.remove(&(before, channel)));
            wake_at.map(|at| self.ends.insert((at, channel)));
            place.wake_at = wake_at;
        }
    }
}

impl Dispatcher {
    /// Collects a delivery that was just accepted, when it is to be merged. Returns whether it was taken care of.
    pub(super) fn collect_arrival(&mut self, channel: ChannelId, delivery: DeliveryId, content: &Content) -> bool {
        let Some(key) = self.digest_key(channel, delivery, content) else { return false };
        if self.lanes.arrive_aside(channel, delivery) {
            self.collect(channel, &key, delivery, content);
        }
        true
    }

    /// Takes a row of the table that belongs to a digest, or is to be merged. Gives back one that is to start by itself, or
    /// as the lead of a digest.
    pub(super) fn take_digest_row(&mut self, load: &Load, row: Waiting, now: Timestamp) -> Option<Waiting> {
        let (channel, delivery) = (load.channel, row.delivery);
        let Some(digest) = row.digest else {
            let Some(content) = Content::of_row(row.clone(), now) else { return Some(row) };
            let Some(key) = self.digest_key(channel, delivery, &content) else { return Some(row) };
            if self.lanes.is_news(load, delivery) {
                self.lanes.set_aside(channel, delivery);
                self.collect(channel, &key, delivery, &content);
            }
            return None;
        };
        if !self.lanes.is_news(load, delivery) {
            return None;
        }
        let place = self.digests.place(channel, None);
        place.members.insert(delivery, digest);
        let lead = *place.leads.entry(digest).or_insert(delivery);
        if lead != delivery {
            self.lanes.set_aside(channel, delivery);
            return None;
        }
        let was_asked_for = matches!(load.what, LoadWhat::These(_));
        if row.due_at > now || was_asked_for {
            return Some(row);
        }
        // What it sends is read for the lead alone.
        self.lanes.recall(channel, delivery);
        None
    }

    /// What a delivery must have in common with others to be merged with them; `None` when it goes by itself.
    fn digest_key(&mut self, channel: ChannelId, delivery: DeliveryId, content: &Content) -> Option<String> {
        let live = self.registry.channel(channel)?;
        let digest = live.digest.as_ref()?;
        let is_first = content.tries == 0 && content.attempts_max.is_none() && content.digest.is_none();
        if !is_first || digest.rule.is_immediate(content.event.content.severity) {
            return None;
        }
        let place = self.digests.place(channel, Some(&digest.rule));
        if place.alone.remove(&delivery) {
            return None;
        }
        Some(digest.key(&content.event.content))
    }

    fn collect(&mut self, channel: ChannelId, key: &str, delivery: DeliveryId, content: &Content) {
        let item = Item { delivery, accepted_at: content.created_at, bytes: content.event.content.data.len() };
        let collector = self.digests.by_channel.get_mut(&channel).and_then(|place| place.collector.as_mut());
        let closed = collector.map(|collector| collector.collect(key, item)).unwrap_or_default();
        self.digests.note_end(channel);
        self.closed(channel, closed);
    }

    /// Windows are closed: what they hold is sealed, or goes by itself.
    fn closed(&mut self, channel: ChannelId, closed: Vec<Closed>) {
        for closed in closed {
            let Some(place) = self.digests.by_channel.get_mut(&channel) else { return };
            if let [only] = closed.members.as_slice() {
                place.alone.insert(*only);
                self.lanes.bring_back(channel, *only);
            } else {
                place.sealing.extend(&closed.members);
                self.digests.to_seal.push_back(Seal { channel, closed });
            }
        }
    }

    /// Closes the windows that have ended. A channel that is about to hear of more that waits already is left for then.
    pub(super) fn close_windows(&mut self, now: Timestamp) {
        let ended = self.digests.ends.iter().take_while(|(ends_at, _)| *ends_at <= now).map(|(_, channel)| *channel);
        let ended: Vec<_> = ended.filter(|channel| !self.lanes.is_reading(*channel)).collect();
        for channel in ended {
            let collector = self.digests.by_channel.get_mut(&channel).and_then(|place| place.collector.as_mut());
            let closed = collector.map(|collector| collector.advance(now)).unwrap_or_default();
            self.digests.note_end(channel);
            self.closed(channel, closed);
        }
    }

    /// When the next window ends that can be closed then.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let can_close = |channel: &ChannelId| !self.lanes.is_reading(*channel);
        self.digests.ends.iter().find(|(_, channel)| can_close(channel)).map(|(ends_at, _)| *ends_at)
    }

    /// Hands out closed windows to be sealed.
    pub(super) fn seal_closed(&mut self) {
        while self.digests.seals_under_way < SEALS_AT_ONCE
            && let Some(seal) = self.digests.to_seal.pop_front()
        {
            self.digests.seals_under_way += 1;
            self.actions.push(Action::Seal(seal));
        }
    }

    /// A window was sealed, or could not be: `None` when the store failed.
    pub(super) fn seal_done(&mut self, seal: Seal, result: Option<Sealed>, now: Timestamp) {
        self.digests.seals_under_way -= 1;
        let channel = seal.channel;
        let Some(place) = self.digests.by_channel.get_mut(&channel) else { return };
        // What was forgotten meanwhile is found in the table as it stands.
        let asked: Vec<_> =
            seal.closed.members.iter().filter(|member| place.sealing.contains(member)).copied().collect();
        if asked.is_empty() {
            return;
        }
        let Some(result) = result else {
            self.digests.to_seal.push_front(seal);
            self.rest(now);
            return;
        };
        place.sealing.retain(|member| !asked.contains(member));
        match result {
            Sealed::Digest(digest, members) if members.iter().all(|member| asked.contains(member)) => {
                place.leads.extend(members.first().map(|lead| (digest, *lead)));
                place.members.extend(members.iter().map(|member| (*member, digest)));
                let is_aside = |member: &DeliveryId| members.iter().skip(1).any(|other| other == member);
                let back = asked.iter().filter(|member| !is_aside(member));
                back.for_each(|member| self.lanes.bring_back(channel, *member));
                return;
            }
            Sealed::Alone(alone) => place.alone.extend(alone.iter().filter(|member| asked.contains(member))),
            // A digest of more than was asked for: it is found in the table as well.
            Sealed::Changed | Sealed::Digest(..) => {}
        }
        for member in asked {
            self.lanes.bring_back(channel, member);
        }
    }

    /// A settlement of a digest is durable. Returns whether it is one of a delivery that the lane has aside.
    pub(super) fn settled_in_digest(&mut self, settlement: &Settlement) -> bool {
        let Some(digest) = settlement.digest else { return false };
        let (channel, delivery) = (settlement.channel, settlement.delivery);
        let is_over = matches!(settlement.next, Next::Over { .. });
        let is_lead = self.digests.flying.remove(&delivery).is_some();
        if let Some(place) = self.digests.by_channel.get_mut(&channel).filter(|_| is_over) {
            place.members.remove(&delivery);
            if is_lead {
                place.leads.remove(&digest);
            }
        }
        if !is_lead && is_over {
            self.lanes.release(channel, delivery);
        }
        !is_lead
    }

    /// A person asked for another try, and the store has made it due: with it its digest, or out of its window. One that an
    /// order to cancel covers, which is not carried out yet, is cancelled with the rest.
    pub(super) fn retry_asked(&mut self, channel: ChannelId, delivery: DeliveryId) {
        if self.tests.contains_key(&delivery) {
            self.retried_tests.insert(delivery);
            return;
        }
        let place = self.digests.by_channel.get(&channel);
        let lead = place.and_then(|place| place.lead_of(delivery)).unwrap_or(delivery);
        if self.is_ordered_cancelled(channel, lead) {
            self.work.insert(Work::Cancel(channel));
            return;
        }
        if let Some(place) = self.digests.by_channel.get_mut(&channel)
            && place.collector.as_mut().is_some_and(|collector| collector.remove(delivery))
        {
            place.alone.insert(delivery);
            self.digests.note_end(channel);
            self.lanes.bring_back(channel, delivery);
            return;
        }
        self.lanes.recall(channel, lead);
    }

    /// Starts anew with a channel whose rule has changed: its lane reads again what waits.
    pub(super) fn digest_rule_changed(&mut self, channel: ChannelId) {
        let live = self.registry.channel(channel);
        let rule = live.as_ref().and_then(|live| live.digest.as_ref()).map(|digest| &digest.rule);
        let Some(place) = self.digests.by_channel.get(&channel) else { return };
        if place.rule.as_ref() != rule {
            self.digests.forget(channel);
            let up_to = self.cancelled.get(&channel).map_or(DeliveryId(0), |order| order.up_to);
            self.lanes.forget(channel, up_to);
            if let Some(place) = self.digests.by_channel.get_mut(&channel) {
                place.rule = rule.cloned();
                place.collector = rule.map(Collector::new);
            }
        }
    }
}

/// The settlement of a digest is one of each of its deliveries: the same answer, and a reason that names the digest. That
/// of a single delivery stays as it is.
pub(super) fn of_each(settlement: Settlement, digest: Option<&SealedDigest>) -> Vec<Settlement> {
    let Some(digest) = digest else { return vec![settlement] };
    let lead = settlement.delivery;
    let of_member = |member: &store::digest::DigestMember| Settlement {
        delivery: member.delivery,
        event: member.event,
        event_type: Arc::clone(&member.event_type),
        created_at: member.created_at,
        digest: Some(digest.id),
        // An inbox has the message once.
        inbox: if member.delivery == lead { settlement.inbox.clone() } else { Vec::new() },
        next: with_reason(settlement.next.clone(), digest.id),
        ..settlement.clone()
    };
    digest.members.iter().map(of_member).collect()
}

fn with_reason(next: Next, digest: DigestId) -> Next {
    let named = |note: String| format!("digest {digest}: {note}");
    match next {
        Next::Wait { due_at, note } => Next::Wait { due_at, note: named(note) },
        Next::Over { state: State::Sent, code, .. } => {
            Next::Over { state: State::Sent, code, note: format!("merged in digest {digest}") }
        }
        Next::Over { state, code, note } => Next::Over { state, code, note: named(note) },
    }
}
