//! Events in memory: whoever reads one that somebody still holds gets the same.
//!
//! The channels of a fan-out read the same events from the table one after the other, while those that came first still have
//! them in their lanes. So an event is read once and lies in memory once. It never changes, so it may be shared for as long
//! as anybody holds it, and nothing is kept here that nobody does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::EventId;
use domain::event::Event;

/// Entries that are not worth looking through for dead ones.
const SWEEP_MIN: usize = 1_024;

/// The events that were read and may still be held.
#[derive(Default)]
pub(in crate::sqlite) struct InMemory(Mutex<Held>);

#[derive(Default)]
struct Held {
    events: HashMap<EventId, Weak<Event>>,
    /// With so many the dead ones are thrown out.
    sweep_at: usize,
}

impl InMemory {
    pub(super) fn get(&self, event: EventId) -> Option<Arc<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).events.get(&event)?.upgrade()
    }

    /// Notes an event that was read.
    pub(super) fn put(&self, event: &Arc<Event>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.events.len() >= held.sweep_at.max(SWEEP_MIN) {
            held.events.retain(|_, event| event.strong_count() > 0);
            // Half of what there is dies before the next: so a sweep costs every event that is put a look or two.
            held.sweep_at = held.events.len() * 2;
        }
        held.events.insert(event.id, Arc::downgrade(event));
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;
    use crate::conformance::fixtures::{TENANT, event};

    fn read(id: i64) -> Arc<Event> {
        let content = event(TENANT, &[]).content;
        Arc::new(Event { id: EventId(id), accepted_at: Timestamp::from_ms(1), content })
    }

    #[test]
    fn an_event_is_shared_while_somebody_holds_it() {
        let in_memory = InMemory::default();
        let one = read(1);
        in_memory.put(&one);
        assert!(Arc::ptr_eq(&in_memory.get(EventId(1)).unwrap(), &one));
        drop(one);
        assert!(in_memory.get(EventId(1)).is_none());
        assert!(in_memory.get(EventId(2)).is_none());
    }

    #[test]
    fn what_nobody_holds_is_thrown_out() {
        let in_memory = InMemory::default();
        let held: Vec<_> = (0..3_000).map(read).collect();
        for event in &held {
            in_memory.put(event);
        }
        for id in 3_000..100_000 {
            in_memory.put(&read(id));
        }
        let entries = in_memory.0.lock().unwrap().events.len();
        assert!((3_000..=6_000).contains(&entries), "{entries}");
        assert!(held.iter().all(|event| in_memory.get(event.id).is_some()));
    }
}
