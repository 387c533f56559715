//! Meters: which lanes a rate holds back, and when they may go on.
//!
//! A lane with a rate has a meter: the bucket of its owner's limit, and the scopes that it shares with others. Lanes that
//! wait for a scope stand in line there and are woken together when it has room: who comes first is for
//! [`turns`](super::turns) to say. A lane without any rate has no meter and costs nothing here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::budget::{Bucket, Budget, Free, ScopedRate};
use crate::channel::RateLimit;
use crate::{ChannelId, ScopeId, Timestamp};

/// What the messages of a channel are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metering {
    /// What its owner allows.
    pub rate_limit: Option<RateLimit>,
    /// What its provider allows.
    pub rates: Vec<ScopedRate>,
    /// Further scopes that its provider may block.
    pub scopes: Vec<ScopeId>,
    /// It was made since the process started: nothing was sent to it before its lane was opened.
    pub is_new: bool,
}

#[derive(Debug)]
struct Meter {
    bucket: Option<Bucket>,
    scopes: BTreeSet<ScopeId>,
    /// It stands in line, or its time is set.
    is_waiting: bool,
}

#[derive(Debug)]
struct Shared {
    budget: Budget,
    lanes: usize,
    /// In the order in which they came.
    waiting: Vec<ChannelId>,
}

/// What keeps a lane from starting.
pub(super) enum Obstacle {
    /// The provider asked for it.
    Asked(Timestamp),
    /// A rate has no room before then, or before something is answered.
    Rate(Option<Timestamp>),
}

/// The meters of all lanes.
#[derive(Debug)]
pub(super) struct Meters {
    started_at: Timestamp,
    by_channel: BTreeMap<ChannelId, Meter>,
    shared: BTreeMap<ScopeId, Shared>,
    /// When scopes have room for those who wait.
    scopes_open: BinaryHeap<Reverse<(Timestamp, ScopeId)>>,
    /// When buckets have.
    buckets_open: BinaryHeap<Reverse<(Timestamp, ChannelId)>>,
    /// Scopes without lanes that are not forgotten yet.
    left: BTreeSet<ScopeId>,
}

impl Meters {
    pub(super) fn new(started_at: Timestamp) -> Self {
        Self {
            started_at,
            by_channel: BTreeMap::new(),
            shared: BTreeMap::new(),
            scopes_open: BinaryHeap::new(),
            buckets_open: BinaryHeap::new(),
            left: BTreeSet::new(),
        }
    }

    /// Counts a channel by this from now on, with so many requests under way. Returns whether it has a meter.
    pub(super) fn set(&mut self, channel: ChannelId, metering: &Metering, under_way: usize, now: Timestamp) -> bool {
        let before = self.by_channel.remove(&channel);
        let scopes: BTreeSet<ScopeId> =
            metering.rates.iter().map(|rate| rate.scope).chain(metering.scopes.iter().copied()).collect();
        let old = before.as_ref().map(|meter| meter.scopes.clone()).unwrap_or_default();
        for scope in old.difference(&scopes) {
            self.leave(*scope, under_way, now);
        }
        for scope in scopes.difference(&old) {
            self.join(*scope, metering, under_way);
        }
        self.forget_idle(now);
        let bucket = metering.rate_limit.map(|limit| match before.and_then(|meter| meter.bucket) {
            Some(bucket) if bucket.limit() == limit => bucket,
            // What went out under another limit is not known any more: as at a start.
            Some(_) => Bucket::new(limit, now),
            None => Bucket::new(limit, self.started_at),
        });
        let is_metered = bucket.is_some() || !scopes.is_empty();
        if is_metered {
            self.by_channel.insert(channel, Meter { bucket, scopes, is_waiting: false });
        }
        is_metered
    }

    /// Nothing was sent to this channel before: all that its owner allows at once may go.
    pub(super) fn fill(&mut self, channel: ChannelId, now: Timestamp) {
        if let Some(bucket) = self.by_channel.get_mut(&channel).and_then(|meter| meter.bucket.as_mut()) {
            *bucket = Bucket::full(bucket.limit(), now);
        }
    }

    fn join(&mut self, scope: ScopeId, metering: &Metering, under_way: usize) {
        self.left.remove(&scope);
        let started_at = self.started_at;
        let shared = self.shared.entry(scope).or_insert_with(|| {
            let rates: Vec<_> = metering.rates.iter().filter(|rate| rate.scope == scope).copied().collect();
            Shared { budget: Budget::new(&rates, started_at), lanes: 0, waiting: Vec::new() }
        });
        shared.lanes += 1;
        shared.budget.start(u32::try_from(under_way).unwrap_or(u32::MAX));
    }

    fn leave(&mut self, scope: ScopeId, under_way: usize, now: Timestamp) {
        let Some(shared) = self.shared.get_mut(&scope) else { return };
        shared.lanes -= 1;
        (0..under_way).for_each(|_| shared.budget.answer(1, now));
        if shared.lanes == 0 {
            self.left.insert(scope);
        } else {
            // Those who wait for an answer of this lane look again.
            self.scopes_open.push(Reverse((now, scope)));
        }
    }

    /// A scope without lanes is remembered as long as it counts: its channel may come back.
    fn forget_idle(&mut self, now: Timestamp) {
        let Self { left, shared, .. } = self;
        left.retain(|scope| {
            let is_idle = shared.get_mut(scope).is_none_or(|one| one.budget.is_idle(now));
            if is_idle {
                shared.remove(scope);
            }
            !is_idle
        });
    }

    /// Takes what a start of this channel needs, of all that it is counted by. Else the channel waits, and is told by
    /// [`Meters::advance`] or [`Meters::answer`] when to ask again.
    pub(super) fn take(&mut self, channel: ChannelId, now: Timestamp) -> bool {
        let Some(meter) = self.by_channel.get_mut(&channel) else { return true };
        if meter.is_waiting {
            return false;
        }
        if let Some(bucket) = &mut meter.bucket
            && let Free::At(at) = bucket.free(now)
        {
            meter.is_waiting = true;
            self.buckets_open.push(Reverse((at, channel)));
            return false;
        }
        for scope in &meter.scopes {
            let Some(shared) = self.shared.get_mut(scope) else { continue };
            match shared.budget.free(now) {
                Free::Now => continue,
                Free::At(at) => self.scopes_open.push(Reverse((at, *scope))),
                Free::OnceAnswered => {}
            }
            meter.is_waiting = true;
            shared.waiting.push(channel);
            return false;
        }
        if let Some(bucket) = &mut meter.bucket {
            bucket.take(1, now);
        }
        for scope in &meter.scopes {
            if let Some(shared) = self.shared.get_mut(scope) {
                shared.budget.start(1);
            }
        }
        true
    }

    /// What a start took was used for so many requests. Gives those that may ask again.
    pub(super) fn answer(&mut self, channel: ChannelId, requests: u32, now: Timestamp) -> Vec<ChannelId> {
        let Some(meter) = self.by_channel.get_mut(&channel) else { return Vec::new() };
        match (&mut meter.bucket, requests) {
            (Some(bucket), 0) => bucket.give_back(),
            (Some(bucket), more) => bucket.take(more - 1, now),
            (None, _) => {}
        }
        let mut open = Vec::new();
        for scope in &meter.scopes {
            let Some(shared) = self.shared.get_mut(scope) else { continue };
            shared.budget.answer(requests, now);
            if shared.waiting.is_empty() {
                continue;
            }
            match shared.budget.free(now) {
                Free::Now => open.push(*scope),
                Free::At(at) => self.scopes_open.push(Reverse((at, *scope))),
                Free::OnceAnswered => {}
            }
        }
        open.into_iter().flat_map(|scope| self.wake(scope)).collect()
    }

    /// What keeps a channel from starting something now; `None`: nothing here.
    pub(super) fn obstacle(&self, channel: ChannelId, now: Timestamp) -> Option<Obstacle> {
        let meter = self.by_channel.get(&channel)?;
        let shared = || meter.scopes.iter().filter_map(|scope| self.shared.get(scope));
        if let Some(until) = shared().filter_map(|shared| shared.budget.blocked_until(now)).max() {
            return Some(Obstacle::Asked(until));
        }
        let bucket = meter.bucket.into_iter().map(|mut bucket| bucket.free(now));
        let mut free = bucket.chain(shared().map(|shared| shared.budget.clone().free(now)));
        free.find(|free| *free != Free::Now).map(|free| match free {
            Free::At(at) => Obstacle::Rate(Some(at)),
            Free::Now | Free::OnceAnswered => Obstacle::Rate(None),
        })
    }

    /// Nothing of this scope starts before then.
    pub(super) fn block(&mut self, scope: ScopeId, until: Timestamp) {
        if let Some(shared) = self.shared.get_mut(&scope) {
            shared.budget.block(until);
        }
    }

    /// Those that may ask again at this time.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<ChannelId> {
        let mut woken = Vec::new();
        while let Some(Reverse((at, channel))) = self.buckets_open.peek().copied()
            && at <= now
        {
            self.buckets_open.pop();
            if let Some(meter) = self.by_channel.get_mut(&channel) {
                meter.is_waiting = false;
                woken.push(channel);
            }
        }
        while let Some(Reverse((at, scope))) = self.scopes_open.peek().copied()
            && at <= now
        {
            self.scopes_open.pop();
            woken.extend(self.wake(scope));
        }
        woken
    }

    fn wake(&mut self, scope: ScopeId) -> Vec<ChannelId> {
        let waiting = self.shared.get_mut(&scope).map(|shared| std::mem::take(&mut shared.waiting)).unwrap_or_default();
        for channel in &waiting {
            if let Some(meter) = self.by_channel.get_mut(channel) {
                meter.is_waiting = false;
            }
        }
        waiting
    }

    /// When [`Meters::advance`] has something to do next.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let bucket = self.buckets_open.peek().map(|Reverse((at, _))| *at);
        let scope = self.scopes_open.peek().map(|Reverse((at, _))| *at);
        bucket.into_iter().chain(scope).min()
    }
}
