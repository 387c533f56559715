//! Digests: which deliveries of a channel are merged in one message, and when it closes.
//!
//! A [`Collector`] holds the open windows of one channel, one for each value of the rule's `group_by`. It knows deliveries
//! by id and size and not what is in them. A window begins with the acceptance of its first delivery, so it follows from
//! what waits alone: whoever collects the same deliveries again after a restart gets the same windows.
//!
//! Pure: the caller passes the time in, keeps what waits, and seals what the collector has [`Closed`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::channel::{DIGEST_ITEMS_MAX, DigestRule};
use crate::event::Severity;
use crate::{DeliveryId, Timestamp};

/// The data of one digest, in bytes: one more delivery that would go beyond begins the next digest. About what a mail or a
/// webhook's receiver takes.
pub const DIGEST_BYTES_MAX: usize = 1 << 20;

/// Windows of one channel that are open at a time; one more closes the oldest early.
pub const WINDOWS_MAX: usize = 1_000;

/// Deliveries of one channel that are in open windows; one more closes the oldest early.
pub const COLLECTED_MAX: usize = 5_000;

/// The longest value of `group_by` that is kept as it is, in bytes.
pub const GROUP_KEY_BYTES_MAX: usize = 256;

impl DigestRule {
    /// Whether it merges anything.
    pub const fn merges(&self) -> bool {
        self.is_enabled && !self.window.is_zero()
    }

    /// Whether an event is too grave to wait.
    pub fn is_immediate(&self, severity: Option<Severity>) -> bool {
        self.immediate_from.is_some_and(|from| severity.is_some_and(|severity| severity >= from))
    }
}

/// A delivery that can be merged with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub delivery: DeliveryId,
    /// When its event was accepted.
    pub accepted_at: Timestamp,
    /// Of its event's data.
    pub bytes: usize,
}

/// Deliveries that are to be one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The value of `group_by` that they share.
    pub key: String,
    pub opened_at: Timestamp,
    /// When the window would have ended; it may have been full before.
    pub closes_at: Timestamp,
    /// In order of id, at least one.
    pub members: Vec<DeliveryId>,
}

#[derive(Debug)]
struct Window {
    opened_at: Timestamp,
    members: BTreeSet<DeliveryId>,
    bytes: usize,
}

/// The open windows of one channel.
#[derive(Debug)]
pub struct Collector {
    window: Duration,
    items_max: usize,
    open: BTreeMap<String, Window>,
    /// When each window ends, the next one first.
    ends: BTreeSet<(Timestamp, String)>,
    collected: usize,
}

impl Collector {
    pub fn new(rule: &DigestRule) -> Self {
        let items_max = if rule.items_max == 0 { DIGEST_ITEMS_MAX } else { rule.items_max.min(DIGEST_ITEMS_MAX) };
        Self {
            window: rule.window,
            items_max: items_max as usize,
            open: BTreeMap::new(),
            ends: BTreeSet::new(),
            collected: 0,
        }
    }

    /// Takes a delivery into the window of its group. Gives what is closed by that: windows that are full, and those that
    /// make room.
    pub fn collect(&mut self, key: &str, item: Item) -> Vec<Closed> {
        let mut closed = Vec::new();
        if self.open.get(key).is_some_and(|window| window.bytes + item.bytes > DIGEST_BYTES_MAX) {
            closed.extend(self.close(key));
        }
        let window = self.open.entry(key.to_owned()).or_insert_with(|| {
            self.ends.insert((item.accepted_at.after(self.window), key.to_owned()));
            Window { opened_at: item.accepted_at, members: BTreeSet::new(), bytes: 0 }
        });
        if item.accepted_at < window.opened_at {
            // It was here before and comes back.
            self.ends.remove(&(window.opened_at.after(self.window), key.to_owned()));
            self.ends.insert((item.accepted_at.after(self.window), key.to_owned()));
            window.opened_at = item.accepted_at;
        }
        if window.members.insert(item.delivery) {
            window.bytes += item.bytes;
            self.collected += 1;
        }
        if window.members.len() >= self.items_max {
            closed.extend(self.close(key));
        }
        while self.open.len() > WINDOWS_MAX || self.collected > COLLECTED_MAX {
            let Some((_, oldest)) = self.ends.first().cloned() else { break };
            closed.extend(self.close(&oldest));
        }
        closed
    }

    /// Closes the windows that have ended.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Closed> {
        let mut closed = Vec::new();
        while let Some((_, key)) = self.ends.first().filter(|(ends_at, _)| *ends_at <= now).cloned() {
            closed.extend(self.close(&key));
        }
        closed
    }

    /// When [`Collector::advance`] has something to do next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.ends.first().map(|(ends_at, _)| *ends_at)
    }

    /// When the window of a delivery ends; `None` when it is in none.
    pub fn ends_at(&self, delivery: DeliveryId) -> Option<Timestamp> {
        let window = self.open.values().find(|window| window.members.contains(&delivery))?;
        Some(window.opened_at.after(self.window))
    }

    /// Takes a delivery out of its window. Returns whether it was in one.
    pub fn remove(&mut self, delivery: DeliveryId) -> bool {
        let Some((key, window)) = self.open.iter_mut().find(|(_, window)| window.members.contains(&delivery)) else {
            return false;
        };
        window.members.remove(&delivery);
        self.collected -= 1;
        if window.members.is_empty() {
            let key = key.clone();
            self.close(&key);
        }
        true
    }

    fn close(&mut self, key: &str) -> Option<Closed> {
        let (key, window) = self.open.remove_entry(key)?;
        let closes_at = window.opened_at.after(self.window);
        self.collected -= window.members.len();
        self.ends.remove(&(closes_at, key.clone()));
        let members = window.members.into_iter().collect();
        Some(Closed { key, opened_at: window.opened_at, closes_at, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(window_s: u64, items_max: u32) -> DigestRule {
        let window = Duration::from_secs(window_s);
        DigestRule { is_enabled: true, window, items_max, immediate_from: None, group_by: None }
    }

    fn item(id: i64, at_s: i64) -> Item {
        Item { delivery: DeliveryId(id), accepted_at: at(at_s), bytes: 10 }
    }

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    fn ids(closed: &[Closed]) -> Vec<(&str, Vec<i64>)> {
        closed.iter().map(|one| (one.key.as_str(), one.members.iter().map(|id| id.0).collect())).collect()
    }

    #[test]
    fn a_window_runs_from_its_first_delivery() {
        let mut collector = Collector::new(&rule(60, 0));
        assert_eq!(collector.wake_at(), None);
        assert!(collector.collect("", item(1, 100)).is_empty());
        assert!(collector.collect("", item(2, 150)).is_empty());
        assert_eq!((collector.wake_at(), collector.ends_at(DeliveryId(2))), (Some(at(160)), Some(at(160))));
        assert!(collector.advance(at(159)).is_empty());
        let closed = collector.advance(at(160));
        assert_eq!(ids(&closed), [("", vec![1, 2])]);
        assert_eq!((closed[0].opened_at, closed[0].closes_at), (at(100), at(160)));
        assert_eq!((collector.wake_at(), collector.ends_at(DeliveryId(2))), (None, None));
        collector.collect("", item(3, 165));
        assert_eq!(collector.wake_at(), Some(at(225)));
    }

    #[test]
    fn groups_have_windows_of_their_own() {
        let mut collector = Collector::new(&rule(60, 2));
        collector.collect("a", item(1, 0));
        collector.collect("b", item(2, 10));
        assert_eq!(ids(&collector.collect("b", item(3, 11))), [("b", vec![2, 3])]);
        assert_eq!(collector.wake_at(), Some(at(60)));
        assert_eq!(ids(&collector.advance(at(60))), [("a", vec![1])]);
    }

    #[test]
    fn size_closes_before_it_is_passed() {
        let mut collector = Collector::new(&rule(60, 0));
        let large = |id| Item { bytes: DIGEST_BYTES_MAX / 2, ..item(id, 0) };
        assert!(collector.collect("", large(1)).is_empty());
        assert!(collector.collect("", large(2)).is_empty());
        assert_eq!(ids(&collector.collect("", item(3, 0))), [("", vec![1, 2])]);
        // One that is too large by itself goes by itself.
        assert_eq!(ids(&collector.collect("", Item { bytes: 2 * DIGEST_BYTES_MAX, ..item(4, 0) })), [("", vec![3])]);
        assert_eq!(ids(&collector.collect("", item(5, 0))), [("", vec![4])]);
    }

    #[test]
    fn what_is_too_much_to_hold_closes_the_oldest_window() {
        let mut collector = Collector::new(&rule(60, 0));
        for id in 0..1_000 {
            assert!(collector.collect(&format!("{id}"), item(id, id)).is_empty());
        }
        assert_eq!(ids(&collector.collect("more", item(1_000, 1_000))), [("0", vec![0])]);
        let mut collector = Collector::new(&rule(60, 0));
        let closed: Vec<_> = (0..=5_000)
            .flat_map(|id| collector.collect(if id % 1_000 == 999 { "b" } else { "a" }, item(id, id)))
            .map(|one| one.members.len())
            .collect();
        assert!(closed.iter().all(|count| *count <= DIGEST_ITEMS_MAX as usize), "{closed:?}");
    }

    #[test]
    fn one_that_comes_back_moves_the_beginning_and_none_is_there_twice() {
        let mut collector = Collector::new(&rule(60, 3));
        collector.collect("", item(2, 20));
        collector.collect("", item(2, 20));
        collector.collect("", item(1, 10));
        assert_eq!(collector.wake_at(), Some(at(70)));
        assert!(collector.remove(DeliveryId(2)) && !collector.remove(DeliveryId(2)));
        assert!(collector.remove(DeliveryId(1)));
        assert_eq!(collector.wake_at(), None);
    }

    #[test]
    fn grave_events_do_not_wait() {
        let from = DigestRule { immediate_from: Some(Severity::Error), ..rule(60, 0) };
        assert!(from.is_immediate(Some(Severity::Error)) && from.is_immediate(Some(Severity::Critical)));
        assert!(!from.is_immediate(Some(Severity::Warning)) && !from.is_immediate(None));
        assert!(!rule(60, 0).is_immediate(Some(Severity::Critical)));
        assert!(rule(60, 0).merges() && !rule(0, 5).merges());
        assert!(!DigestRule { is_enabled: false, ..rule(60, 0) }.merges());
    }

    /// Whatever comes in whatever order: each delivery is in exactly one closed window, of its own group, within the bounds.
    #[test]
    fn every_delivery_is_closed_once() {
        for seed in 0..200_u64 {
            let mut number = seed;
            // splitmix64: an even spread without a dependency.
            let mut draw = |end: u64| {
                number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                (mixed ^ (mixed >> 31)) % end
            };
            let items_max = u32::try_from(draw(6)).unwrap();
            let mut collector = Collector::new(&rule(1 + draw(30), items_max));
            let mut closed = Vec::new();
            let mut now = 0;
            for id in 0..300 {
                now += i64::try_from(draw(5)).unwrap();
                closed.extend(collector.advance(at(now)));
                let bytes = usize::try_from(draw(DIGEST_BYTES_MAX as u64 / 3)).unwrap();
                closed.extend(collector.collect(if id % 3 == 0 { "a" } else { "b" }, Item { bytes, ..item(id, now) }));
                assert!(collector.wake_at().is_none_or(|wake| wake > at(now)), "seed {seed}");
            }
            closed.extend(collector.advance(at(now + 31)));
            assert_eq!((collector.collected, collector.wake_at()), (0, None), "seed {seed}");
            let mut seen: Vec<i64> = Vec::new();
            for one in &closed {
                let count = one.members.len();
                assert!(count >= 1 && (items_max == 0 || count <= items_max as usize), "seed {seed}");
                assert!(one.members.is_sorted() && one.opened_at < one.closes_at, "seed {seed}");
                assert!(one.members.iter().all(|id| (id.0 % 3 == 0) == (one.key == "a")), "seed {seed}");
                seen.extend(one.members.iter().map(|id| id.0));
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..300).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
