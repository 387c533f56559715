//! Everything that the store has of the tenants, read at the end of a world.

use std::collections::BTreeMap;

use domain::delivery::{Attempt, Delivery, State};
use domain::{DeliveryId, EventId, TenantId};
use engine::settings::Retention;
use store::journal::{AttemptQuery, DeliveryQuery, EventQuery, EventRecord, StateFilter};
use store::sqlite::SqliteStore;
use store::{Journal as _, StoreError};

use crate::model::Broken;
use crate::process::read;
use crate::world::World;

/// More rows than any world has.
pub(crate) const ROWS_MAX: usize = 1_000_000;

pub(crate) struct Kept {
    pub events: BTreeMap<EventId, (TenantId, EventRecord)>,
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    pub attempts: BTreeMap<DeliveryId, Vec<Attempt>>,
    /// What may be missing.
    pub retention: Retention,
}

impl Kept {
    pub(crate) fn read(world: &World) -> Result<Self, StoreError> {
        let store = &world.process.as_ref().expect("running").store;
        let retention = world.scenario.settings.retention;
        let mut kept =
            Self { events: BTreeMap::new(), deliveries: BTreeMap::new(), attempts: BTreeMap::new(), retention };
        for tenant in world.tenants.iter().filter(|tenant| !world.model.leaving.contains(tenant)) {
            kept.read_tenant(store, *tenant)?;
        }
        kept.read_unlisted(world)?;
        kept.attempts
            .values_mut()
            .for_each(|attempts| attempts.sort_by_key(|attempt| (attempt.record.number, attempt.record.step)));
        Ok(kept)
    }

    /// What retention has left to deliveries that wait or are dead is in no list.
    fn read_unlisted(&mut self, world: &World) -> Result<(), StoreError> {
        let store = &world.process.as_ref().expect("running").store;
        let told = world.model.kept.iter().map(|(event, (serial, _))| (world.model.items[serial].0, *event));
        let delivered = self.deliveries.values().map(|delivery| (delivery.tenant, delivery.event));
        let asked: Vec<_> = told.chain(delivered).filter(|(_, event)| !self.events.contains_key(event)).collect();
        for (tenant, event) in asked {
            if let Some(record) = read(store.event(tenant, event))? {
                self.events.insert(event, (tenant, record));
            }
        }
        Ok(())
    }

    fn read_tenant(&mut self, store: &SqliteStore, tenant: TenantId) -> Result<(), StoreError> {
        for event in read(store.events(tenant, EventQuery::newest(ROWS_MAX)))?.rows {
            let Some(record) = read(store.event(tenant, event.id))? else { continue };
            for delivery in read(store.deliveries_of(tenant, event.id, DeliveryId(0), usize::MAX))? {
                self.deliveries.insert(delivery.id, delivery);
            }
            self.events.insert(event.id, (tenant, record));
        }
        // Also those whose event is gone.
        for delivery in read(store.deliveries(tenant, DeliveryQuery::newest(ROWS_MAX)))?.rows {
            self.deliveries.entry(delivery.id).or_insert(delivery);
        }
        for attempt in read(store.attempts(tenant, AttemptQuery::newest(ROWS_MAX)))?.rows {
            self.attempts.entry(attempt.delivery).or_default().push(attempt);
        }
        Ok(())
    }

    /// Whether nothing ever goes.
    pub(crate) fn has_all(&self) -> bool {
        self.retention == Retention::default()
    }
}

/// What waits, or is dead, has its event, however old that is.
pub(crate) fn what_waits_has_its_event(world: &World) -> Result<(), Broken> {
    let Some(process) = &world.process else { return Ok(()) };
    for tenant in world.tenants.iter().filter(|tenant| !world.model.leaving.contains(tenant)) {
        for state in [StateFilter::Pending, StateFilter::Retrying, StateFilter::Dead] {
            let query = DeliveryQuery { state: Some(state), ..DeliveryQuery::newest(LOOKED_AT_MAX) };
            let Ok(found) = read(process.store.deliveries(*tenant, query)) else { continue };
            for Delivery { id, event, .. } in found.rows {
                if let Ok(None) = read(process.store.event(*tenant, event)) {
                    return Err(format!("delivery {id} waits or is dead, and its event {event} is gone"));
                }
            }
        }
    }
    Ok(())
}

/// Of those that wait, how many are looked at in one look.
const LOOKED_AT_MAX: usize = 20;

/// Nothing is left of a tenant that is deleted.
pub(crate) fn nothing_is_left_of_the_gone(world: &World) -> Result<(), Broken> {
    let Some(process) = &world.process else { return Ok(()) };
    for tenant in &world.model.gone {
        let left = || -> Result<[usize; 3], StoreError> {
            let events = read(process.store.events(*tenant, EventQuery::newest(ROWS_MAX)))?.rows.len();
            let deliveries = read(process.store.deliveries(*tenant, DeliveryQuery::newest(ROWS_MAX)))?.rows.len();
            let attempts = read(process.store.attempts(*tenant, AttemptQuery::newest(ROWS_MAX)))?.rows.len();
            Ok([events, deliveries, attempts])
        };
        match left() {
            Ok([0, 0, 0]) => {}
            Ok(left) => {
                return Err(format!(
                    "tenant {tenant} is deleted, and of events, deliveries, attempts are left: {left:?}"
                ));
            }
            Err(error) => return Err(format!("the store cannot be read: {error}")),
        }
    }
    Ok(())
}

/// Whether somebody may still do something about a delivery in this state.
pub(crate) fn needs_its_event(state: State) -> bool {
    !state.is_final() || state == State::Dead
}
