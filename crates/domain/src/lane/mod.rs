//! Lanes: the in-memory queues of the channels, and what may start now.
//!
//! One [`Lanes`] holds a lane for every channel. A lane is *direct* while everything that waits for its channel is in
//! memory; when it overflows it is *spilled* and takes only from the queue table, above the last delivery that it
//! took, until the table is drained. So order is kept, memory is bounded and nothing is loaded twice.
//!
//! Pure: the caller passes the time in, carries out the [`Load`]s and sends what [`Lanes::start_next`] hands out.
//! Fair order over tenants, then over the channels of a tenant, is kept in [`turns`], rates in [`meters`], the order within
//! a lane in [`order`], what is read and kept in [`memory`], and what slow channels may hold in [`slow`].

mod aside;
mod memory;
mod meters;
mod order;
mod pauses;
mod slow;
mod terms;
mod turns;
mod waits;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use crate::breaker::Share;
use crate::{ChannelId, DeliveryId, ScopeId, TenantId, Timestamp};
use memory::{Fitting, Hungry};
pub use meters::Metering;
use meters::Meters;
use order::Order;
use slow::{Pace, SlowShare};
pub use terms::{Answer, Bounds, Buffered, DueNow, LaneRules, Load, LoadWhat, Loaded, Ready, Start};
use turns::Turns;
pub use waits::Wait;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent: all combinations occur")]
struct Lane<T> {
    tenant: TenantId,
    concurrency: usize,
    /// How much of that its breaker leaves it.
    share: usize,
    /// Whether it has a meter.
    is_metered: bool,
    order: Order,
    pace: Pace,
    in_flight: usize,
    buffer: VecDeque<Ready<T>>,
    /// Due again, content not in memory.
    recalled: VecDeque<DeliveryId>,
    /// Buffered, or started and not durably settled: never taken a second time.
    known: BTreeSet<DeliveryId>,
    /// Taken as well, and not started by themselves; see [`aside`].
    aside: BTreeSet<DeliveryId>,
    /// Asked for again while they were under way: brought back when they are settled.
    recalled_under_way: BTreeSet<DeliveryId>,
    /// Settled since the load under way was asked for, so that its older view of the table does not bring them back.
    settled_during_load: BTreeSet<DeliveryId>,
    is_spilled: bool,
    is_loading: bool,
    fitting: Fitting,
    /// Something arrived and was left to the table since the load under way was asked for.
    missed_during_load: bool,
    is_paused: bool,
    /// Everything at or below was taken or is none of this lane's business.
    taken_to: DeliveryId,
    /// Below this one more waits in the table, which is taken from the top down.
    backlog: Option<DeliveryId>,
    blocked_until: Option<Timestamp>,
    /// Raised when the lane forgets what it holds; loads and due times of an older generation are void.
    generation: u32,
}

impl<T> Lane<T> {
    fn new(rules: &LaneRules) -> Self {
        Self {
            tenant: rules.tenant,
            concurrency: 0,
            share: usize::MAX,
            is_metered: false,
            order: Order::default(),
            pace: Pace::default(),
            in_flight: 0,
            buffer: VecDeque::new(),
            recalled: VecDeque::new(),
            known: BTreeSet::new(),
            aside: BTreeSet::new(),
            recalled_under_way: BTreeSet::new(),
            settled_during_load: BTreeSet::new(),
            is_spilled: false,
            is_loading: false,
            fitting: Fitting::default(),
            missed_during_load: false,
            is_paused: false,
            taken_to: DeliveryId(0),
            backlog: None,
            blocked_until: None,
            generation: 0,
        }
    }

    fn may_start(&self, now: Timestamp) -> bool {
        !self.is_paused
            && self.in_flight < self.concurrency.min(self.share)
            && self.blocked_until.is_none_or(|until| until <= now)
            && self.buffer.front().is_some_and(|front| self.order.lets(front.delivery, self.under_way()))
    }

    /// Started and not durably settled.
    fn under_way(&self) -> usize {
        self.known.len() - self.buffer.len()
    }

    /// Puts what was read again where it belongs.
    fn line_up(&mut self, read: &LoadWhat) {
        if self.order.is_fifo {
            self.buffer.make_contiguous().sort_unstable_by_key(|ready| ready.delivery);
        }
        let Some(first) = self.order.first() else { return };
        match self.buffer.iter().position(|ready| ready.delivery == first) {
            Some(place) => {
                if let Some(ready) = self.buffer.remove(place) {
                    self.buffer.push_front(ready);
                }
            }
            // It was asked for and is gone: nobody waits for it any more.
            None if matches!(read, LoadWhat::These(asked) if asked.contains(&first)) => self.order.started(first),
            None => {}
        }
    }

    /// Whether the table holds more than it has taken.
    fn has_more(&self) -> bool {
        self.is_spilled || self.backlog.is_some()
    }

    /// FIFO: what was asked for and lies beyond what was read of the table is found there in its turn, and not before what is
    /// older. Not while a load is under way, which may have looked too early; and not what others wait for, which has to be
    /// read however full the memory is.
    fn leave_to_the_table(&mut self) {
        if self.order.is_fifo && self.is_spilled && !self.is_loading {
            let Self { order, taken_to, .. } = self;
            self.recalled.retain(|delivery| delivery <= taken_to || order.holds_up(*delivery));
        }
    }

    /// `is_full` says that all memory is used.
    fn wants_load(&self, bounds: &Bounds, is_full: bool) -> bool {
        let has_room = self.buffer.len() <= self.fitting.refill_at(bounds, is_full);
        let wants = !self.recalled.is_empty() && (has_room || self.order.is_held_up());
        let takes_more = self.has_more() && self.aside.len() < aside::ASIDE_MAX;
        // A lane that may start nothing leaves what waits to the table.
        !self.is_paused && self.share > 0 && !self.is_loading && (wants || (has_room && takes_more))
    }
}

type Due = Reverse<(Timestamp, ChannelId, DeliveryId, u32)>;

/// The lanes of all channels that this process dispatches.
#[derive(Debug)]
pub struct Lanes<T> {
    bounds: Bounds,
    by_channel: BTreeMap<ChannelId, Lane<T>>,
    turns: Turns,
    meters: Meters,
    slow: SlowShare,
    /// When retrying deliveries are due.
    due: BinaryHeap<Due>,
    /// When blocked lanes may go on.
    unblock: BinaryHeap<Reverse<(Timestamp, ChannelId)>>,
    hungry: Hungry,
    buffered_bytes: usize,
    unsettled: usize,
}

impl<T> Lanes<T> {
    /// The lanes of a process that starts now.
    pub fn new(bounds: Bounds, now: Timestamp) -> Self {
        Self {
            bounds,
            by_channel: BTreeMap::new(),
            turns: Turns::default(),
            meters: Meters::new(now),
            slow: SlowShare::of(bounds.unsettled_max),
            due: BinaryHeap::new(),
            unblock: BinaryHeap::new(),
            hungry: Hungry::default(),
            buffered_bytes: 0,
            unsettled: 0,
        }
    }

    /// Makes the lane of a channel, or gives it new rules. A lane that exists keeps what it holds.
    pub fn open(&mut self, channel: ChannelId, rules: &LaneRules, now: Timestamp) {
        let is_first = !self.is_open(channel);
        let lane = self.by_channel.entry(channel).or_insert_with(|| Lane::new(rules));
        lane.concurrency = rules.concurrency as usize;
        lane.is_metered = self.meters.set(channel, &rules.metering, lane.in_flight, now);
        if is_first && rules.metering.is_new {
            self.meters.fill(channel, now);
        }
        let becomes_fifo = rules.is_fifo && !lane.order.is_fifo;
        lane.order.is_fifo = rules.is_fifo;
        if becomes_fifo && (!lane.known.is_empty() || lane.taken_to > DeliveryId(0)) {
            // What waits for later tries comes first, and the table knows it.
            self.forget(channel, DeliveryId(0));
        }
        self.enlist(channel, now);
    }

    pub fn is_open(&self, channel: ChannelId) -> bool {
        self.by_channel.contains_key(&channel)
    }

    /// Says that the queue table holds deliveries of this channel from before: the lane takes them from there first.
    pub fn spill(&mut self, channel: ChannelId) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.is_spilled = true;
            self.hungry.push_back(channel);
        }
    }

    /// Takes a delivery that was just accepted. Arrivals of one channel come in order of id.
    ///
    /// What does not fit in memory is left to the queue table, where it is already safe.
    pub fn arrive(&mut self, channel: ChannelId, ready: Ready<T>, now: Timestamp) {
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        if ready.delivery <= lane.taken_to {
            return;
        }
        let has_room = self.buffered_bytes + ready.bytes <= self.bounds.buffered_bytes_max || lane.buffer.is_empty();
        let fits = lane.buffer.len() < self.bounds.lane_items_max && has_room;
        if lane.is_spilled || !fits {
            lane.is_spilled = true;
            lane.missed_during_load = true;
            self.hungry.push_back(channel);
            return;
        }
        lane.taken_to = ready.delivery;
        self.buffered_bytes += ready.bytes;
        lane.known.insert(ready.delivery);
        lane.buffer.push_back(ready);
        self.enlist(channel, now);
    }

    /// The next read of the queue table that a lane wants, if any.
    pub fn next_load(&mut self) -> Option<Load> {
        let is_full = self.is_full();
        while let Some(channel) = self.hungry.next() {
            let Some(lane) = self.by_channel.get_mut(&channel) else { continue };
            lane.leave_to_the_table();
            if !lane.wants_load(&self.bounds, is_full) {
                continue;
            }
            self.hungry.begin_load();
            lane.is_loading = true;
            lane.missed_during_load = false;
            lane.settled_during_load.clear();
            let items_max = lane.fitting.items_of_load(&self.bounds, is_full);
            let what = if lane.recalled.is_empty() {
                lane.backlog.filter(|_| !lane.is_spilled).map_or(LoadWhat::After(lane.taken_to), LoadWhat::Before)
            } else {
                let count = lane.recalled.len().min(items_max);
                LoadWhat::These(lane.recalled.drain(..count).collect())
            };
            return Some(Load { channel, what, items_max, generation: lane.generation });
        }
        None
    }

    /// Takes what a load found, as far as it fits.
    pub fn loaded(&mut self, load: &Load, mut found: Loaded<T>, now: Timestamp) {
        self.hungry.end_load();
        let Some(lane) = self.by_channel.get_mut(&load.channel) else { return };
        lane.is_loading = false;
        self.hungry.push_back(load.channel);
        if load.generation != lane.generation {
            return;
        }
        let is_again = matches!(load.what, LoadWhat::These(_));
        found.ready.retain(|ready| {
            !lane.settled_during_load.contains(&ready.delivery) && !lane.known.contains(&ready.delivery)
        });
        // What others wait for is taken however full the memory is.
        let room = if is_again && lane.order.is_held_up() {
            usize::MAX
        } else {
            self.bounds.buffered_bytes_max.saturating_sub(self.buffered_bytes)
        };
        let left = found.cut(&load.what, room, lane.buffer.is_empty());
        lane.fitting.loaded(found.ready.len(), left.is_some());
        match &load.what {
            LoadWhat::After(_) => {
                lane.taken_to = lane.taken_to.max(found.reached.unwrap_or(lane.taken_to));
                lane.is_spilled = !found.is_drained || lane.missed_during_load;
            }
            LoadWhat::Before(_) => {
                lane.taken_to = lane.taken_to.max(found.newest.unwrap_or(lane.taken_to));
                lane.backlog = found.reached.filter(|_| !found.is_drained);
            }
            LoadWhat::These(asked) => {
                let left = left.unwrap_or_default();
                let taken = asked.iter().filter(|delivery| !left.contains(delivery));
                taken.for_each(|delivery| lane.order.waits_no_longer(*delivery));
                left.into_iter().rev().for_each(|delivery| lane.recalled.push_front(delivery));
            }
        }
        for (delivery, due) in found.later {
            if !lane.known.contains(&delivery) && !lane.settled_during_load.contains(&delivery) {
                lane.order.waits(delivery);
                self.due.push(Reverse((due, load.channel, delivery, lane.generation)));
            }
        }
        // One may have been asked for twice.
        let mut fresh = found.ready;
        fresh.retain(|ready| lane.known.insert(ready.delivery));
        self.buffered_bytes += fresh.iter().map(|ready| ready.bytes).sum::<usize>();
        if is_again {
            // What is due again is older than what waits.
            fresh.into_iter().rev().for_each(|ready| lane.buffer.push_front(ready));
            lane.line_up(&load.what);
        } else {
            lane.buffer.extend(fresh);
        }
        self.enlist(load.channel, now);
    }

    /// Gives back a load that could not be carried out; it will be asked for again.
    pub fn load_failed(&mut self, load: Load) {
        self.hungry.end_load();
        let Some(lane) = self.by_channel.get_mut(&load.channel) else { return };
        lane.is_loading = false;
        if let (LoadWhat::These(deliveries), true) = (load.what, load.generation == lane.generation) {
            lane.recalled.extend(deliveries);
        }
        self.hungry.push_back(load.channel);
    }

    /// The next delivery that may start, in fair order; `None` when nothing may start now.
    pub fn start_next(&mut self, now: Timestamp) -> Option<Start<T>> {
        if self.unsettled >= self.bounds.unsettled_max {
            return None;
        }
        for channel in self.slow.woken() {
            self.enlist(channel, now);
        }
        while let Some(channel) = self.turns.next() {
            let Some(lane) = self.by_channel.get_mut(&channel) else { continue };
            if !lane.may_start(now) {
                continue;
            }
            let is_slow = lane.pace.is_slow();
            if is_slow && !self.slow.has_room() {
                self.slow.wait(channel);
                continue;
            }
            if lane.is_metered && !self.meters.take(channel, now) {
                continue;
            }
            let ready = lane.buffer.pop_front()?;
            lane.order.started(ready.delivery);
            lane.in_flight += 1;
            self.slow.hold(usize::from(is_slow));
            self.unsettled += 1;
            self.turns.hold(lane.tenant, channel);
            self.buffered_bytes -= ready.bytes;
            if lane.wants_load(&self.bounds, self.buffered_bytes >= self.bounds.buffered_bytes_max) {
                self.hungry.push_back(channel);
            }
            self.enlist(channel, now);
            return Some(Start { channel, delivery: ready.delivery, item: ready.item });
        }
        None
    }

    /// The requests of a started delivery are over: its channel may start another.
    pub fn answered(&mut self, channel: ChannelId, answer: Answer, now: Timestamp) {
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        lane.in_flight -= 1;
        if answer.requests > 0 {
            let was_slow = lane.pace.is_slow();
            lane.pace.answered(answer.took);
            match (was_slow, lane.pace.is_slow()) {
                (true, false) => self.slow.give_back(lane.under_way()),
                (false, true) => self.slow.hold(lane.under_way()),
                _ => {}
            }
        }
        if lane.is_metered {
            for woken in self.meters.answer(channel, answer.requests, now) {
                self.enlist(woken, now);
            }
        }
        self.enlist(channel, now);
    }

    /// What became of a started delivery is durable. `due` is when it is to be tried again.
    pub fn settled(&mut self, channel: ChannelId, delivery: DeliveryId, due: Option<Timestamp>, now: Timestamp) {
        self.unsettled -= 1;
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        lane.known.remove(&delivery);
        self.turns.give_back(lane.tenant, channel);
        self.slow.give_back(usize::from(lane.pace.is_slow()));
        if lane.is_loading {
            lane.settled_during_load.insert(delivery);
        }
        let is_recalled = lane.recalled_under_way.remove(&delivery);
        // A paused lane forgets its retries: it finds them in the table when it goes on.
        if let Some(due) = due.filter(|_| !lane.is_paused) {
            lane.order.waits(delivery);
            self.due.push(Reverse((due, channel, delivery, lane.generation)));
        } else {
            lane.order.started(delivery);
        }
        if is_recalled {
            self.recall(channel, delivery);
        }
        self.enlist(channel, now);
    }

    /// What became of a delivery that did not come from its lane is durable: a load under way may still show it.
    pub fn settled_elsewhere(&mut self, channel: ChannelId, delivery: DeliveryId) {
        if let Some(lane) = self.by_channel.get_mut(&channel)
            && lane.is_loading
        {
            lane.settled_during_load.insert(delivery);
        }
    }

    /// Whether the lane has looked at this delivery: what arrives so late came to it through the table.
    pub fn has_passed(&self, channel: ChannelId, delivery: DeliveryId) -> bool {
        self.by_channel.get(&channel).is_some_and(|lane| delivery <= lane.taken_to)
    }

    /// Brings a waiting delivery back at once, whatever it waits for; one that is under way as soon as it is settled.
    pub fn recall(&mut self, channel: ChannelId, delivery: DeliveryId) {
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        if lane.known.contains(&delivery) {
            lane.recalled_under_way.insert(delivery);
        } else if lane.is_paused {
            // It is found in the table when the lane goes on, also when what was there before it was cancelled meanwhile.
            lane.taken_to = lane.taken_to.min(DeliveryId(delivery.0 - 1));
        } else {
            lane.recalled.push_back(delivery);
            self.hungry.push_back(channel);
        }
    }

    /// Starts nothing on this channel before `until`.
    pub fn block(&mut self, channel: ChannelId, until: Timestamp) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            let until = lane.blocked_until.map_or(until, |earlier| earlier.max(until));
            lane.blocked_until = Some(until);
            self.unblock.push(Reverse((until, channel)));
        }
    }

    /// Starts at most so much at a time on this channel, whatever its rules say.
    pub fn share(&mut self, channel: ChannelId, share: Share, now: Timestamp) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.share = match share {
                Share::Nothing => 0,
                Share::Some(requests) => requests as usize,
                Share::Everything => usize::MAX,
            };
            self.hungry.push_back(channel);
            self.enlist(channel, now);
        }
    }

    /// Starts nothing of this scope before `until`.
    pub fn block_scope(&mut self, scope: ScopeId, until: Timestamp) {
        self.meters.block(scope, until);
    }

    /// Starts nothing else on this channel before this delivery, which is answered and waits for its next turn.
    pub fn go_on_with(&mut self, channel: ChannelId, delivery: DeliveryId) {
        if let Some(lane) = self.by_channel.get_mut(&channel)
            && !lane.is_paused
        {
            lane.order.go_on_with(delivery);
        }
    }

    /// Moves time on: blocked lanes whose time has come may start, and due deliveries are recalled.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(Reverse((until, channel))) = self.unblock.peek().copied()
            && until <= now
        {
            self.unblock.pop();
            // For good: a clock that goes back must not block it again with nothing to wake it.
            if let Some(lane) = self.by_channel.get_mut(&channel)
                && lane.blocked_until.is_some_and(|until| until <= now)
            {
                lane.blocked_until = None;
            }
            self.enlist(channel, now);
        }
        for channel in self.meters.advance(now) {
            self.enlist(channel, now);
        }
        while let Some(Reverse((due, channel, delivery, generation))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            if self.by_channel.get(&channel).is_some_and(|lane| lane.generation == generation) {
                self.recall(channel, delivery);
            }
        }
    }

    /// When [`Lanes::advance`] has something to do next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let due = self.due.peek().map(|Reverse((due, ..))| *due);
        let unblock = self.unblock.peek().map(|Reverse((until, _))| *until);
        due.into_iter().chain(unblock).chain(self.meters.wake_at()).min()
    }

    /// What is known of the deliveries that are due and not started, to find the one that has been so for longest.
    ///
    /// Looks at every delivery in memory, of which there are as many as the bounds allow; lanes that are paused
    /// or may start nothing are left out. What a lane has left to the queue table is named, its first row or rows, to be looked up
    /// there; what is being read at this moment is missed.
    pub fn due(&self, since: impl Fn(&T) -> Timestamp) -> DueNow {
        let running = || self.by_channel.iter().filter(|(_, lane)| !lane.is_paused && lane.share > 0);
        let buffered = running().flat_map(|(_, lane)| &lane.buffer).map(|ready| since(&ready.item)).min();
        let mut in_table = Vec::new();
        for (channel, lane) in running() {
            if lane.backlog.is_some() {
                in_table.push((*channel, LoadWhat::After(DeliveryId(0))));
            } else if lane.is_spilled {
                in_table.push((*channel, LoadWhat::After(lane.taken_to)));
            }
            if let Some(first) = lane.recalled.front() {
                in_table.push((*channel, LoadWhat::These(vec![*first])));
            }
        }
        DueNow { buffered, in_table }
    }

    /// Deliveries started and not durably settled.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Requests under way to this channel.
    pub fn in_flight(&self, channel: ChannelId) -> usize {
        self.by_channel.get(&channel).map_or(0, |lane| lane.in_flight)
    }

    /// Whether the delivery was started and is not durably settled.
    pub fn is_under_way(&self, channel: ChannelId, delivery: DeliveryId) -> bool {
        self.by_channel.get(&channel).is_some_and(|lane| {
            lane.known.contains(&delivery) && !lane.buffer.iter().any(|ready| ready.delivery == delivery)
        })
    }

    /// Every delivery of this channel that was started and is not durably settled.
    pub fn under_way(&self, channel: ChannelId) -> Vec<DeliveryId> {
        let Some(lane) = self.by_channel.get(&channel) else { return Vec::new() };
        let buffered: BTreeSet<_> = lane.buffer.iter().map(|ready| ready.delivery).collect();
        lane.known.difference(&buffered).copied().collect()
    }

    /// How many these are.
    pub fn under_way_count(&self, channel: ChannelId) -> usize {
        // Everything that is buffered is known.
        self.by_channel.get(&channel).map_or(0, |lane| lane.known.len().saturating_sub(lane.buffer.len()))
    }

    fn enlist(&mut self, channel: ChannelId, now: Timestamp) {
        if let Some(lane) = self.by_channel.get(&channel)
            && lane.may_start(now)
        {
            self.turns.enlist(lane.tenant, channel);
        }
    }
}

#[cfg(test)]
mod tests;
