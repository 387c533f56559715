//! Lanes: the in-memory queues of the channels, and what may start now.
//!
//! One [`Lanes`] holds a lane for every channel. A lane is *direct* while everything that waits for its channel is in
//! memory; when it overflows it is *spilled* and takes only from the queue table, above the last delivery that it
//! took, until the table is drained. So order is kept, memory is bounded and nothing is loaded twice.
//!
//! Pure: the caller passes the time in, carries out the [`Load`]s and sends what [`Lanes::start_next`] hands out.
//! Fair order over tenants, then over the channels of a tenant, is kept in [`turns`].

mod aside;
mod turns;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use crate::{ChannelId, DeliveryId, TenantId, Timestamp};
use turns::Turns;

/// How much may be in memory and under way.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Deliveries started and not durably settled, over all lanes.
    pub unsettled_max: usize,
    /// Deliveries buffered in one lane.
    pub lane_items_max: usize,
    /// Bytes of payload buffered over all lanes; a payload shared by several deliveries counts for each.
    pub buffered_bytes_max: usize,
    /// Deliveries asked for in one load.
    pub load_items_max: usize,
}

/// A delivery whose content is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready<T> {
    pub delivery: DeliveryId,
    /// What it counts against [`Bounds::buffered_bytes_max`].
    pub bytes: usize,
    pub item: T,
}

/// A request to read from the queue table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub channel: ChannelId,
    pub what: LoadWhat,
    pub items_max: usize,
    generation: u32,
}

/// Which rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadWhat {
    /// In order of id, those above this one.
    After(DeliveryId),
    /// These, as far as they still wait.
    These(Vec<DeliveryId>),
}

/// What a [`Load`] found.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// Rows that may start now, in order of id.
    pub ready: Vec<Ready<T>>,
    /// Rows that are due later.
    pub later: Vec<(DeliveryId, Timestamp)>,
    /// The last row that was looked at; `None` when there was none.
    pub reached: Option<DeliveryId>,
    /// Whether the table held nothing beyond `reached`.
    pub is_drained: bool,
}

/// What is due and not started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueNow {
    /// Since when the oldest is due of those in memory.
    pub buffered: Option<Timestamp>,
    /// Rows of the queue table that may be due for longer: of an `After`, the first.
    pub in_table: Vec<(ChannelId, LoadWhat)>,
}

/// A delivery that is to start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<T> {
    pub channel: ChannelId,
    pub delivery: DeliveryId,
    pub item: T,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent: all sixteen combinations occur")]
struct Lane<T> {
    tenant: TenantId,
    /// Requests under way at a time.
    concurrency: usize,
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
    /// Something arrived and was left to the table since the load under way was asked for.
    missed_during_load: bool,
    is_paused: bool,
    /// Everything at or below was taken or is none of this lane's business.
    taken_to: DeliveryId,
    blocked_until: Option<Timestamp>,
    /// Raised when the lane forgets what it holds; loads and due times of an older generation are void.
    generation: u32,
}

impl<T> Lane<T> {
    fn new(tenant: TenantId, concurrency: u32) -> Self {
        Self {
            tenant,
            concurrency: concurrency as usize,
            in_flight: 0,
            buffer: VecDeque::new(),
            recalled: VecDeque::new(),
            known: BTreeSet::new(),
            aside: BTreeSet::new(),
            recalled_under_way: BTreeSet::new(),
            settled_during_load: BTreeSet::new(),
            is_spilled: false,
            is_loading: false,
            missed_during_load: false,
            is_paused: false,
            taken_to: DeliveryId(0),
            blocked_until: None,
            generation: 0,
        }
    }

    fn may_start(&self, now: Timestamp) -> bool {
        !self.is_paused
            && !self.buffer.is_empty()
            && self.in_flight < self.concurrency
            && self.blocked_until.is_none_or(|until| until <= now)
    }

    fn wants_load(&self, bounds: &Bounds) -> bool {
        let has_room = self.buffer.len() <= bounds.lane_items_max / 2;
        let takes_more = self.is_spilled && self.aside.len() < aside::ASIDE_MAX;
        !self.is_paused && !self.is_loading && has_room && (takes_more || !self.recalled.is_empty())
    }
}

type Due = Reverse<(Timestamp, ChannelId, DeliveryId, u32)>;

/// The lanes of all channels that this process dispatches.
#[derive(Debug)]
pub struct Lanes<T> {
    bounds: Bounds,
    by_channel: BTreeMap<ChannelId, Lane<T>>,
    turns: Turns,
    /// When retrying deliveries are due.
    due: BinaryHeap<Due>,
    /// When blocked lanes may go on.
    unblock: BinaryHeap<Reverse<(Timestamp, ChannelId)>>,
    /// Lanes that may want a load; a lane may stand here more than once or in vain.
    hungry: VecDeque<ChannelId>,
    buffered_bytes: usize,
    unsettled: usize,
}

impl<T> Lanes<T> {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            by_channel: BTreeMap::new(),
            turns: Turns::default(),
            due: BinaryHeap::new(),
            unblock: BinaryHeap::new(),
            hungry: VecDeque::new(),
            buffered_bytes: 0,
            unsettled: 0,
        }
    }

    /// Makes the lane of a channel, or gives it a new concurrency. A lane that exists keeps what it holds.
    pub fn open(&mut self, channel: ChannelId, tenant: TenantId, concurrency: u32, now: Timestamp) {
        let lane = self.by_channel.entry(channel).or_insert_with(|| Lane::new(tenant, concurrency));
        lane.concurrency = concurrency as usize;
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
        let fits = lane.buffer.len() < self.bounds.lane_items_max
            && self.buffered_bytes + ready.bytes <= self.bounds.buffered_bytes_max;
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
        while let Some(channel) = self.hungry.pop_front() {
            let Some(lane) = self.by_channel.get_mut(&channel) else { continue };
            if !lane.wants_load(&self.bounds) {
                continue;
            }
            lane.is_loading = true;
            lane.missed_during_load = false;
            lane.settled_during_load.clear();
            let items_max = self.bounds.load_items_max;
            let what = if lane.recalled.is_empty() {
                LoadWhat::After(lane.taken_to)
            } else {
                let count = lane.recalled.len().min(items_max);
                LoadWhat::These(lane.recalled.drain(..count).collect())
            };
            return Some(Load { channel, what, items_max, generation: lane.generation });
        }
        None
    }

    /// Takes what a load found.
    pub fn loaded(&mut self, load: &Load, found: Loaded<T>, now: Timestamp) {
        let Some(lane) = self.by_channel.get_mut(&load.channel) else { return };
        lane.is_loading = false;
        self.hungry.push_back(load.channel);
        if load.generation != lane.generation {
            return;
        }
        let is_again = matches!(load.what, LoadWhat::These(_));
        if !is_again {
            lane.taken_to = lane.taken_to.max(found.reached.unwrap_or(lane.taken_to));
            lane.is_spilled = !found.is_drained || lane.missed_during_load;
        }
        for (delivery, due) in found.later {
            if !lane.known.contains(&delivery) && !lane.settled_during_load.contains(&delivery) {
                self.due.push(Reverse((due, load.channel, delivery, lane.generation)));
            }
        }
        let mut fresh: Vec<_> = found.ready;
        fresh.retain(|ready| !lane.settled_during_load.contains(&ready.delivery) && lane.known.insert(ready.delivery));
        self.buffered_bytes += fresh.iter().map(|ready| ready.bytes).sum::<usize>();
        if is_again {
            // What is due again is older than what waits.
            fresh.into_iter().rev().for_each(|ready| lane.buffer.push_front(ready));
        } else {
            lane.buffer.extend(fresh);
        }
        self.enlist(load.channel, now);
    }

    /// Gives back a load that could not be carried out; it will be asked for again.
    pub fn load_failed(&mut self, load: Load) {
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
        while let Some(channel) = self.turns.next() {
            let Some(lane) = self.by_channel.get_mut(&channel) else { continue };
            if !lane.may_start(now) {
                continue;
            }
            let ready = lane.buffer.pop_front()?;
            lane.in_flight += 1;
            self.unsettled += 1;
            self.buffered_bytes -= ready.bytes;
            if lane.wants_load(&self.bounds) {
                self.hungry.push_back(channel);
            }
            self.enlist(channel, now);
            return Some(Start { channel, delivery: ready.delivery, item: ready.item });
        }
        None
    }

    /// The request of a started delivery is over: its channel may start another.
    pub fn answered(&mut self, channel: ChannelId, now: Timestamp) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.in_flight -= 1;
            self.enlist(channel, now);
        }
    }

    /// What became of a started delivery is durable. `due` is when it is to be tried again.
    pub fn settled(&mut self, channel: ChannelId, delivery: DeliveryId, due: Option<Timestamp>) {
        self.unsettled -= 1;
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        lane.known.remove(&delivery);
        if lane.is_loading {
            lane.settled_during_load.insert(delivery);
        }
        let is_recalled = lane.recalled_under_way.remove(&delivery);
        // A paused lane forgets its retries: it finds them in the table when it goes on.
        if let Some(due) = due.filter(|_| !lane.is_paused) {
            self.due.push(Reverse((due, channel, delivery, lane.generation)));
        }
        if is_recalled {
            self.recall(channel, delivery);
        }
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
        } else if !lane.is_paused {
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

    /// Starts nothing on this channel until [`Lanes::resume`], and forgets what waits: it is safe in the table.
    pub fn pause(&mut self, channel: ChannelId) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.is_paused = true;
            self.forget(channel, DeliveryId(0));
        }
    }

    /// Goes on with a paused channel, from the table.
    pub fn resume(&mut self, channel: ChannelId) {
        if let Some(lane) = self.by_channel.get_mut(&channel)
            && lane.is_paused
        {
            lane.is_paused = false;
            lane.blocked_until = None;
            self.hungry.push_back(channel);
        }
    }

    /// Forgets what waits at or below `up_to`; the table may hold more above it. What is under way stays known.
    pub fn forget(&mut self, channel: ChannelId, up_to: DeliveryId) {
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        for ready in lane.buffer.drain(..) {
            lane.known.remove(&ready.delivery);
            self.buffered_bytes -= ready.bytes;
        }
        lane.recalled.clear();
        lane.aside.clear();
        lane.generation += 1;
        lane.is_spilled = true;
        lane.taken_to = up_to;
        self.hungry.push_back(channel);
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
        due.into_iter().chain(unblock).min()
    }

    /// What is known of the deliveries that are due and not started, to find the one that has been so for longest.
    ///
    /// Looks at every delivery in memory, of which there are as many as the bounds allow; paused lanes wait for their
    /// owner and are left out. What a lane has left to the queue table is named, its first row or rows, to be looked up
    /// there; what is being read at this moment is missed.
    pub fn due(&self, since: impl Fn(&T) -> Timestamp) -> DueNow {
        let running = || self.by_channel.iter().filter(|(_, lane)| !lane.is_paused);
        let buffered = running().flat_map(|(_, lane)| &lane.buffer).map(|ready| since(&ready.item)).min();
        let mut in_table = Vec::new();
        for (channel, lane) in running() {
            if lane.is_spilled {
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
