//! What must be true of a backlog in the end: every delivery is there once, and what went out is on record.

use std::collections::{BTreeMap, BTreeSet};

use domain::delivery::Attempt;
use domain::{DeliveryId, TenantId, Timestamp};
use store::journal::{AttemptQuery, StatsQuery};
use store::sqlite::backlog::{Counted, count_rows};
use store::{Journal as _, StoreError};

use crate::model::{Broken, Exchange};
use crate::process::read;
use crate::properties;
use crate::world::World;

/// More attempts than any delivery has.
const ATTEMPTS_MAX: usize = 1_000;

/// Every delivery is there, and what went out did so for the reasons that are on record.
pub(super) fn holds(world: &World) -> Result<(), Broken> {
    let watch = world.watch.as_ref().expect("it is watched");
    let fresh: usize = world.model.kept.values().map(|(_, deliveries)| deliveries.len()).sum();
    let all = sums(world).map_err(|error| unreadable(&error))?.values().sum::<u64>();
    let expected = watch.waited() + fresh as u64;
    if all != expected {
        return Err(format!("{expected} deliveries were made, and {all} are there"));
    }
    let mut exchanges: BTreeMap<DeliveryId, Vec<&Exchange>> = BTreeMap::new();
    for exchange in world.model.exchanges.values() {
        for delivery in &exchange.deliveries {
            exchanges.entry(*delivery).or_default().push(exchange);
        }
    }
    for (delivery, exchanges) in &exchanges {
        went_out_as_recorded(world, *delivery, exchanges)?;
    }
    let untouched = fresh_deliveries(world).find(|(delivery, tenant)| {
        read(world.process.as_ref().expect("running").store.delivery(*tenant, *delivery)).ok().flatten().is_none()
    });
    match untouched {
        Some((delivery, _)) => Err(format!("delivery {delivery} was accepted after the start and is not in the store")),
        None => Ok(()),
    }
}

fn fresh_deliveries(world: &World) -> impl Iterator<Item = (DeliveryId, TenantId)> {
    let kept = world.model.kept.values();
    kept.flat_map(|(serial, deliveries)| {
        let tenant = world.model.items[serial].0;
        deliveries.iter().map(move |(delivery, _)| (*delivery, tenant))
    })
}

fn went_out_as_recorded(world: &World, id: DeliveryId, exchanges: &[&Exchange]) -> Result<(), Broken> {
    let store = &world.process.as_ref().expect("running").store;
    let Some((tenant, _)) = world.model.owners.get(&id).copied() else {
        return Err(format!("delivery {id} was sent and is nobody's"));
    };
    let query = AttemptQuery { delivery: Some(id), ..AttemptQuery::newest(ATTEMPTS_MAX) };
    let mut attempts = read(store.attempts(tenant, query)).map_err(|error| unreadable(&error))?.rows;
    attempts.sort_by_key(|attempt| (attempt.record.number, attempt.record.step));
    let Some(delivery) = read(store.delivery(tenant, id)).map_err(|error| unreadable(&error))? else {
        return Err(format!("delivery {id} was sent and is not in the store"));
    };
    let before = world.watch.as_ref().and_then(|watch| watch.placed(id)).map_or(0, |placed| placed.delivery.tries);
    let here: Vec<Attempt> = attempts.iter().filter(|attempt| attempt.record.number > before).cloned().collect();
    if attempts.len() - here.len() != before as usize {
        return Err(format!("delivery {id} had {before} tries before the start, and on record are {attempts:?}"));
    }
    properties::attempts_fit(&world.model, &delivery, &here, exchanges)?;
    properties::tries_fit(&world.model, &delivery, &attempts, exchanges, false)
}

fn unreadable(error: &StoreError) -> Broken {
    format!("the store cannot be read: {error}")
}

/// What the store says there is, by what became of it.
pub(super) fn sums(world: &World) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
    let Some(process) = &world.process else { return Ok(sums) };
    for tenant in &world.tenants {
        let stats = read(process.store.stats(*tenant, StatsQuery::since(Timestamp::EPOCH)))?;
        for (what, sum) in [
            ("pending", stats.pending),
            ("retrying", stats.retrying),
            ("dead", stats.dead),
            ("sent", stats.sent),
            ("cancelled", stats.cancelled),
            ("expired", stats.expired),
        ] {
            *sums.entry(what).or_default() += sum;
        }
    }
    Ok(sums)
}

impl World {
    /// Sums equal what is there when it is counted row by row, for each channel.
    pub(crate) fn count_all(&self) -> Result<(), Broken> {
        let Some(process) = &self.process else { return Ok(()) };
        let counted = count_rows(self.data_dir.path()).map_err(|error| unreadable(&error))?;
        let known: BTreeSet<_> = self.model.channels.keys().copied().collect();
        if let Some(stray) = counted.keys().find(|channel| !known.contains(channel)) {
            return Err(format!("there are deliveries of channel {stray}, which nobody made"));
        }
        for (channel, belief) in &self.model.channels {
            let rows = counted.get(channel).copied().unwrap_or_default();
            let query = StatsQuery { channel: Some(*channel), ..StatsQuery::since(Timestamp::EPOCH) };
            let stats = read(process.store.stats(belief.tenant, query)).map_err(|error| unreadable(&error))?;
            let sums = Counted {
                pending: stats.pending,
                retrying: stats.retrying,
                dead: stats.dead,
                settled: stats.sent + stats.cancelled + stats.expired,
                twice: 0,
            };
            if sums != rows {
                return Err(format!("the sums of channel {channel} are {sums:?}, and there are {rows:?}"));
            }
        }
        Ok(())
    }
}
