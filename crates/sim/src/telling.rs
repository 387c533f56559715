//! What owners are told of channels that fail, and what these hold meanwhile.

use std::collections::BTreeMap;

use domain::{ChannelId, EventId, TenantId, Timestamp};
use engine::dispatch::announce::Moment;
use serde_json::Value;
use store::Journal as _;
use store::journal::{EventRecord, StatsQuery};

use crate::model::Broken;
use crate::process::read;
use crate::world::World;

/// Every type that tells of a channel begins so.
const OWN: &str = "postrider.";

/// This one is asked for, as often as anybody likes.
const TEST: &str = "postrider.test";

/// What is told is told once, to others than those it tells of; and every trip of this life was told.
pub(crate) fn once_and_to_others(
    world: &World,
    events: &BTreeMap<EventId, (TenantId, EventRecord)>,
) -> Result<(), Broken> {
    let mut told: BTreeMap<(String, ChannelId, String, i64), EventId> = BTreeMap::new();
    let process = world.process.as_ref().expect("running");
    for (id, (tenant, record)) in events.iter().filter(|(_, (_, record))| is_own(record)) {
        let content = &record.event.content;
        let data: Value = serde_json::from_str(&content.data).unwrap_or_default();
        let channel = ChannelId(data["channel_id"].as_i64().unwrap_or(0));
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        // A delivery that died again after a person had it tried is told of again.
        let key = (content.event_type.to_string(), channel, text("since"), data["delivery_id"].as_i64().unwrap_or(0));
        if let Some(other) = told.insert(key, *id) {
            return Err(format!("events {other} and {id} tell the same of channel {channel}: {data}"));
        }
        let made = read(process.store.deliveries_of(*tenant, *id, domain::DeliveryId(0), usize::MAX))
            .map_err(|error| format!("the store cannot be read: {error}"))?;
        if let Some(own) = made.iter().find(|delivery| delivery.channel == channel) {
            return Err(format!("channel {channel} was told of itself by delivery {}", own.id));
        }
    }
    if world.scenario.settings.retention.events.is_some() {
        // What was told may have been let go of since.
        return Ok(());
    }
    let tripped = |channel: ChannelId, since: Timestamp| {
        let since = providers::message::rfc3339(since);
        told.contains_key(&("postrider.channel.tripped".to_owned(), channel, since, 0))
    };
    // Nobody hears of a channel that was deleted meanwhile.
    let is_there = |channel: ChannelId| process.registry.channel(channel).is_some();
    match world.model.trips.iter().find(|(channel, since)| is_there(*channel) && !tripped(*channel, *since)) {
        Some((channel, since)) => Err(format!("nobody was told that channel {channel} tripped at {since:?}")),
        None => Ok(()),
    }
}

fn is_own(record: &EventRecord) -> bool {
    let event_type = &record.event.content.event_type;
    event_type.starts_with(OWN) && &**event_type != TEST
}

/// A channel that is tripped or paused holds no more than it may, but for what came while the oldest go, and what the
/// dispatcher has not heard of yet.
pub(crate) fn held_within_bounds(world: &World) -> Result<(), Broken> {
    let Some(process) = world.process.as_ref().filter(|_| world.model.slices == 0) else { return Ok(()) };
    for (channel, belief) in &world.model.channels {
        let Some(live) = process.registry.channel(*channel) else { continue };
        let is_held = live.channel.pause.is_some() || live.tripped().is_some();
        if !is_held || process.has_announced() || !process.dispatcher.is_within_bounds(*channel) {
            continue;
        }
        let query = StatsQuery { channel: Some(*channel), ..StatsQuery::since(Timestamp::from_ms(0)) };
        let stats = read(process.store.stats(belief.tenant, query)).map_err(|error| format!("no sums: {error}"))?;
        // A test waits for nobody.
        let held = (stats.pending + stats.retrying).saturating_sub(world.model.tests_of(*channel));
        if held > live.held_max {
            return Err(format!("channel {channel} holds {held} deliveries, and may hold {}", live.held_max));
        }
    }
    Ok(())
}

impl World {
    /// Takes note of what the dispatcher announces.
    pub(crate) fn hear_moment(&mut self, moment: &Moment) {
        if let Moment::Tripped(_, channel, trip) = moment {
            self.model.trips.insert((*channel, trip.since));
        }
        self.note(format_args!("{moment:?}"));
    }
}
