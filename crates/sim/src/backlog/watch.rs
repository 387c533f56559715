//! What is seen of a world that begins with a backlog, and must be true at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::lane::Buffered;
use domain::{ChannelId, Clock as _, DeliveryId, Timestamp};
use engine::dispatch::Input;
use store::sqlite::backlog::{Backlog as Template, Placed};

use crate::model::Broken;
use crate::world::World;

/// More than a delivery of these worlds counts in memory.
const DELIVERY_BYTES_MAX: usize = 1_024;

/// Whoever watches.
pub(crate) struct Watch {
    pub(super) template: Template,
    /// When the process began.
    began_at: Timestamp,
    /// The deliveries of each channel that go out in order, and how many of them have.
    lines: BTreeMap<ChannelId, Line>,
    /// Deliveries of the backlog that went out, in whatever life.
    started: BTreeSet<DeliveryId>,
    /// When each delivery reached its receiver first.
    arrived: BTreeMap<DeliveryId, u64>,
    lives: Vec<Life>,
    /// Whether something came into memory since it was looked at.
    is_stale: bool,
    most: Buffered,
}

/// What a life of the process has done.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    has_sent: bool,
    rows_before_first_send: usize,
    rows: usize,
}

/// The deliveries of a channel that were due when the process began, as their places in each round.
#[derive(Debug, Default)]
struct Line {
    places: Vec<i64>,
    went_out: usize,
}

impl Line {
    /// The place of the next one that is to go out.
    fn next(&self, per_round: i64) -> Option<i64> {
        let round = i64::try_from(self.went_out.checked_div(self.places.len())?).ok()?;
        Some(round * per_round + self.places[self.went_out % self.places.len()])
    }
}

/// The first delivery of a database.
const FIRST: DeliveryId = DeliveryId(1);

impl Watch {
    pub(super) fn new(template: Template, began_at: Timestamp) -> Self {
        let mut lines: BTreeMap<ChannelId, Line> = BTreeMap::new();
        for (place, placed) in (0..).zip(template.round(0)) {
            let line = lines.entry(placed.delivery.channel).or_default();
            if was_due(placed) {
                line.places.push(place);
            }
        }
        Self {
            template,
            began_at,
            lines,
            started: BTreeSet::new(),
            arrived: BTreeMap::new(),
            lives: vec![Life::default()],
            is_stale: false,
            most: Buffered::default(),
        }
    }

    /// The place of a delivery; `None` for one that came later.
    pub(super) fn placed(&self, delivery: DeliveryId) -> Option<Placed<'_>> {
        self.template.placed(delivery.0 - FIRST.0)
    }

    pub(super) fn waited(&self) -> u64 {
        u64::try_from(self.template.deliveries()).unwrap_or(0)
    }

    pub(super) fn went_out(&self) -> usize {
        self.started.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.lives.iter().map(|life| life.rows).sum()
    }

    pub(super) fn rows_before_first_send(&self) -> Vec<usize> {
        self.lives.iter().map(|life| life.rows_before_first_send).collect()
    }

    pub(super) fn most_in_memory(&self) -> (usize, usize) {
        (self.most.most_of_a_lane, self.most.bytes)
    }

    pub(super) fn arrived_us(&self, delivery: DeliveryId) -> Option<u64> {
        self.arrived.get(&delivery).copied()
    }

    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("there is always one")
    }

    /// A process is gone.
    fn dies(&mut self) {
        self.lives.push(Life::default());
    }

    /// A delivery goes out in a try of this number, with the event of this serial.
    fn sends(&mut self, delivery: DeliveryId, number: u32, serial: u64, now: Timestamp) -> Result<(), Broken> {
        self.life().has_sent = true;
        let Some(Placed { round, event, delivery: past, .. }) = self.placed(delivery) else { return Ok(()) };
        let (channel, tries, due_after) = (past.channel, past.tries, past.due_after);
        // The first event of a database has the number 1.
        if i64::try_from(serial) != Ok(event + 1) {
            return Err(format!(
                "delivery {delivery} of the backlog is of the event {} and went out with {serial}",
                event + 1
            ));
        }
        if !self.started.insert(delivery) {
            return Ok(());
        }
        if number != tries + 1 {
            return Err(format!("delivery {delivery} had {tries} tries, and try {number} goes out"));
        }
        let due_at = self.template.at(round).after(due_after);
        if tries > 0 && now < due_at {
            return Err(format!("delivery {delivery} of the backlog was started before it was due"));
        }
        if tries > 0 && due_at > self.began_at {
            return Ok(());
        }
        let per_round = self.template.deliveries() / self.template.rounds.max(1);
        let line = self.lines.entry(channel).or_default();
        let next = line.next(per_round).map(|place| DeliveryId(FIRST.0 + place));
        line.went_out += 1;
        if next == Some(delivery) {
            return Ok(());
        }
        Err(format!("delivery {delivery} of channel {channel} went out when it was the turn of {next:?}"))
    }
}

/// Whether a delivery of the backlog may go out as soon as it is read, however large the backlog is.
fn was_due(placed: Placed<'_>) -> bool {
    placed.delivery.tries == 0 || placed.delivery.due_after < Duration::from_mins(1)
}

impl World {
    /// A process with a backlog is gone.
    pub(crate) fn watch_death(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.dies();
        }
    }

    /// What is read before anything goes out is bounded by what lanes hold, and not by what waits.
    pub(crate) fn watch_loads(&mut self, input: &Input) {
        let Some(watch) = &mut self.watch else { return };
        watch.is_stale |= matches!(input, Input::Loaded(..));
        let Input::Loaded(_, Some(rows)) = input else { return };
        let life = watch.life();
        life.rows += rows.len();
        if life.has_sent {
            return;
        }
        life.rows_before_first_send += rows.len();
        let read = life.rows_before_first_send;
        let most = self.model.channels.len() * self.scenario.settings.load_items_max;
        if read > most {
            self.breaks(Err(format!(
                "{read} rows were read before anything went out, and one load of each lane is {most}"
            )));
        }
    }

    /// A request goes out.
    pub(crate) fn watch_send(&mut self, id: u64, serials: &[u64]) {
        let now = self.clock.now();
        let (Some(watch), Some(exchange)) = (&mut self.watch, self.model.exchanges.get(&id)) else { return };
        let mut sends = exchange.deliveries.iter().zip(serials);
        let checked = sends.try_for_each(|(delivery, serial)| watch.sends(*delivery, exchange.number, *serial, now));
        self.breaks(checked);
    }

    /// A request reaches its receiver.
    pub(crate) fn watch_arrival(&mut self, id: u64) {
        let now_us = self.clock.elapsed_us();
        let (Some(watch), Some(exchange)) = (&mut self.watch, self.model.exchanges.get(&id)) else { return };
        for delivery in &exchange.deliveries {
            watch.arrived.entry(*delivery).or_insert(now_us);
        }
    }

    /// What is in memory is within its bounds. A lane that has nothing takes one delivery however full the memory is.
    pub(crate) fn watch_memory(&mut self) {
        let (Some(watch), Some(process)) = (&mut self.watch, &self.process) else { return };
        if !std::mem::take(&mut watch.is_stale) {
            return;
        }
        let buffered = process.dispatcher.buffered();
        watch.most.most_of_a_lane = watch.most.most_of_a_lane.max(buffered.most_of_a_lane);
        watch.most.bytes = watch.most.bytes.max(buffered.bytes);
        let settings = &self.scenario.settings;
        let bytes_max = settings.buffered_bytes_max + self.model.channels.len() * DELIVERY_BYTES_MAX;
        if buffered.most_of_a_lane > settings.lane_items_max || buffered.bytes > bytes_max {
            self.breaks(Err(format!("{buffered:?} are in memory, beyond the bounds of {settings:?}")));
        }
    }
}
