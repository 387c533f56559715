//! The same small backlog twice: as the template writes it, and through the calls of engine and store.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use domain::{DeliveryId, EventId};
use engine::accept::EventIn;
use serde_json::value::RawValue;
use store::Queue as _;
use store::sqlite::DATABASE_FILE;
use store::sqlite::backlog::{Backlog as Template, ID_MARK, PastEvent};
use tempfile::TempDir;

use super::inhabitants::Inhabitants;
use super::new_world;
use crate::world::World;

/// Slices of upkeep after which nothing is left to do in a small database.
const UPKEEP_SLICES: usize = 200;

/// Small segments, so that some are closed.
const SEGMENT_ROWS: u64 = 300;

/// Two databases that must be equal.
#[derive(Debug)]
pub struct WrittenTwice {
    /// Files of the two, and what they lie in.
    pub template: PathBuf,
    pub store: PathBuf,
    _data_dirs: [TempDir; 2],
}

/// Writes so many deliveries in both ways, and lets the store have a look at both.
pub fn written_twice(deliveries: u64) -> anyhow::Result<WrittenTwice> {
    let mut worlds = [new_world(1, false)?, new_world(1, false)?];
    for world in &mut worlds {
        world.scenario.segment_rows_max = SEGMENT_ROWS;
    }
    let inhabitants = Inhabitants::move_in(&mut worlds[0])?;
    let template = inhabitants.template(&worlds[0], deliveries);
    worlds.iter_mut().for_each(World::die);
    // Both know the same tenants and channels.
    let [one, other] = worlds.each_ref().map(|world| world.data_dir.path().join(DATABASE_FILE));
    fs::copy(&one, &other)?;
    template.write(worlds[0].data_dir.path())?;
    let ends_us = worlds[1].clock.elapsed_at(template.at(template.rounds));
    for world in &mut worlds {
        world.start_process()?;
    }
    for round in 0..template.rounds {
        accept(&mut worlds[1], &template, round)?;
    }
    for world in &mut worlds {
        world.clock.advance_to(ends_us);
        let store = Arc::clone(&world.process.as_ref().expect("running").store);
        for _ in 0..UPKEEP_SLICES {
            store.run_writes(None);
        }
        drop(store);
        world.die();
    }
    Ok(WrittenTwice { template: one, store: other, _data_dirs: worlds.map(|world| world.data_dir) })
}

/// Has a round accepted, and then tried as often as the template says.
fn accept(world: &mut World, template: &Template, round: i64) -> anyhow::Result<()> {
    world.clock.advance_to(world.clock.elapsed_at(template.at(round)));
    let count = i64::try_from(template.events.len())?;
    // The first event of a database has the number 1.
    let ids = (1 + round * count..).map(EventId);
    let events: Vec<_> = ids.zip(&template.events).map(|(id, past)| event(id, past)).collect();
    let engine = world.engine();
    let tenant = template.events[0].tenant;
    let kept = world.drive(async move { engine.accept_events(tenant, events, true, None).await })?;
    let first = kept.iter().flat_map(|one| &one.event.deliveries).map(|(delivery, _)| *delivery).min();
    let settlements = template.settlements(round, kept[0].event.id, first.unwrap_or(DeliveryId(1)));
    let store = Arc::clone(&world.process.as_ref().expect("running").store);
    world.drive(async move { store.settle(settlements.into()).await })?;
    Ok(())
}

fn event(id: EventId, past: &PastEvent) -> EventIn {
    EventIn {
        tenant: past.tenant,
        event_type: past.event_type.clone(),
        data: RawValue::from_string(past.data.replace(ID_MARK, &id.0.to_string())).expect("it is JSON"),
        occurred_at: None,
        severity: None,
        channels: None,
        idempotency_key: None,
        trace: None,
    }
}
