//! Clients: they post events, and post again when they are not sure.

use domain::TenantId;
use engine::accept::EventIn;
use engine::ops::{Accepted, OpsError};
use serde_json::value::RawValue;

use crate::clock::us;
use crate::faults::Fault;
use crate::model::Item;
use crate::world::{Done, Event, Sabotage, World};

const EVENT_TYPES: [&str; 4] = ["order.paid", "order.failed", "user.created", "ping"];

/// How often a client tries before it gives up.
const TRIES_MAX: u32 = 40;

/// One request, and whoever sends it until it is answered.
pub(crate) struct Client {
    tenant: TenantId,
    items: Vec<Item>,
    is_list: bool,
    key: Option<String>,
    /// It uses a key that another client uses for something else.
    may_conflict: bool,
    tries: u32,
    is_waiting: bool,
}

impl Client {
    fn request(&self) -> Vec<EventIn> {
        let event = |item: &Item| EventIn {
            tenant: self.tenant,
            event_type: item.event_type.to_owned(),
            data: RawValue::from_string(format!(r#"{{"n":{},"amount":{}}}"#, item.serial, item.serial % 100))
                .expect("it is JSON"),
            occurred_at: None,
            severity: None,
            channels: item.channels.clone(),
            idempotency_key: item.key.clone(),
            trace: None,
        };
        self.items.iter().map(event).collect()
    }
}

impl World {
    /// Draws what is posted when.
    pub(crate) fn plan_posts(&mut self) {
        let trouble_us = us(self.scenario.trouble);
        let is_burst = self.dice.chance(400);
        let last_us = if is_burst { trouble_us / 10 } else { trouble_us - trouble_us / 10 };
        let mut made = 0;
        while made < self.scenario.events {
            let length = if self.dice.chance(800) { 1 } else { self.dice.position(6) + 1 };
            made += length;
            let client = self.draw_client(length);
            let at = self.dice.between(0, last_us);
            self.at(at, Event::Post(client));
        }
    }

    /// A few events that nothing stands in the way of.
    pub(crate) fn post_in_peace(&mut self) {
        let posts = if self.scenario.has_large_fan_out { 0 } else { self.tenants.len() * 3 };
        for position in 0..posts {
            let tenant = self.tenants[position % self.tenants.len()];
            let item = self.draw_item(tenant, None);
            self.model.posted_in_peace.insert(item.serial);
            let items = vec![Item { channels: None, event_type: "order.paid", ..item }];
            self.model.items.insert(items[0].serial, (tenant, items[0].clone()));
            self.clients.push(Client {
                tenant,
                items,
                is_list: false,
                key: None,
                may_conflict: false,
                tries: 0,
                is_waiting: false,
            });
            let wait_us = self.dice.between(2_000_000, 3_000_000);
            self.after(wait_us, Event::Post(self.clients.len() - 1));
        }
    }

    fn draw_client(&mut self, length: usize) -> usize {
        let tenant = if self.scenario.has_large_fan_out {
            self.tenants[0]
        } else {
            let position = self.dice.position(self.tenants.len());
            self.tenants[position]
        };
        let number = self.clients.len();
        let kind = self.dice.between(0, 3);
        let items = (0..length)
            .map(|place| {
                let key = (kind == 1).then(|| format!("item-{number}-{place}"));
                self.draw_item(tenant, key)
            })
            .collect();
        self.clients.push(Client {
            tenant,
            items,
            is_list: length > 1,
            key: (kind == 2).then(|| format!("request-{number}")),
            may_conflict: false,
            tries: 0,
            is_waiting: false,
        });
        if length == 1 && self.dice.chance(60) {
            self.share_a_key(number);
        }
        number
    }

    fn draw_item(&mut self, tenant: TenantId, key: Option<String>) -> Item {
        let serial = self.model.items.len() as u64 + 1;
        let mine: Vec<_> =
            self.model.channels.iter().filter(|(_, one)| one.tenant == tenant).map(|(id, _)| *id).collect();
        let names_channels = !mine.is_empty() && self.dice.chance(150);
        let channels = names_channels.then(|| {
            let count = self.dice.position(3) + 1;
            (0..count).map(|_| mine[self.dice.position(mine.len())]).collect()
        });
        let item = Item { serial, event_type: self.dice.pick(&EVENT_TYPES), channels, key };
        self.model.items.insert(serial, (tenant, item.clone()));
        item
    }

    /// This client uses the key of an earlier one by mistake.
    fn share_a_key(&mut self, number: usize) {
        let tenant = self.clients[number].tenant;
        let other = self.clients[..number]
            .iter_mut()
            .find(|other| other.tenant == tenant && other.items.len() == 1 && other.items[0].key.is_some());
        let Some(other) = other else { return };
        other.may_conflict = true;
        let key = other.items[0].key.clone();
        let client = &mut self.clients[number];
        client.may_conflict = true;
        client.key = None;
        client.items[0].key = key;
        self.model.items.insert(client.items[0].serial, (tenant, client.items[0].clone()));
    }

    pub(crate) fn post(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.is_waiting {
            return;
        }
        client.tries += 1;
        if self.process.as_ref().is_none_or(|process| process.is_stopping) {
            self.post_again(number);
            return;
        }
        self.maybe_deafen();
        if self.is_peace && self.sabotages(|sabotage, _| sabotage == Sabotage::LoseEvent, None) {
            let serial = self.clients[number].items[0].serial;
            let checked = self.model.keeps(serial, domain::EventId(1 << 40), &[]);
            self.breaks(checked);
            return;
        }
        let client = &mut self.clients[number];
        client.is_waiting = true;
        let (tenant, events, is_list, key) = (client.tenant, client.request(), client.is_list, client.key.clone());
        let serials: Vec<_> = client.items.iter().map(|item| item.serial).collect();
        self.note(format_args!("post {number}: {serials:?}"));
        let engine = self.engine();
        let Some(process) = &mut self.process else { return };
        process.spawn(async move {
            Done::Posted(number, engine.accept_events(tenant, events, is_list, key.as_deref()).await)
        });
    }

    pub(crate) fn posted(&mut self, number: usize, result: Result<Vec<Accepted>, OpsError>) {
        let client = &mut self.clients[number];
        client.is_waiting = false;
        let named_channels = client.items.iter().any(|item| item.channels.is_some());
        let checked = match result {
            Ok(accepted) => {
                let serials: Vec<_> = client.items.iter().map(|item| item.serial).collect();
                let ids: Vec<_> = accepted.iter().map(|one| one.event.id).collect();
                self.note(format_args!("kept {number}: {ids:?}"));
                if self.faults.strikes(Fault::ClientAnswerLost) {
                    self.post_again(number);
                }
                if ids.len() == serials.len() {
                    let mut events = serials.iter().zip(accepted);
                    events.try_for_each(|(serial, one)| self.model.keeps(*serial, one.event.id, &one.event.deliveries))
                } else {
                    Err(format!("{} events were posted and {} kept", serials.len(), ids.len()))
                }
            }
            Err(OpsError::Unavailable(_)) => {
                self.post_again(number);
                Ok(())
            }
            // Its channel was deleted meanwhile.
            Err(OpsError::Invalid(_)) if named_channels => Ok(()),
            Err(OpsError::Conflict(_)) if client.may_conflict => Ok(()),
            Err(error) => Err(format!("post {number} was refused: {error}")),
        };
        self.breaks(checked);
    }

    /// Whoever is not sure posts again. Without a key that may make a second event, which is the client's affair.
    fn post_again(&mut self, number: usize) {
        let client = &self.clients[number];
        if client.tries < TRIES_MAX {
            let wait_us = self.dice.between(10_000, 2_000_000);
            self.after(wait_us, Event::Post(number));
        }
    }

    /// The process is gone, and with it all connections.
    pub(crate) fn lose_clients(&mut self) {
        for number in 0..self.clients.len() {
            if std::mem::take(&mut self.clients[number].is_waiting) {
                self.post_again(number);
            }
        }
    }
}
