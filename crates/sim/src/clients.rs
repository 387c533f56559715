//! Clients: they post events, and post again when they are not sure.

use domain::TenantId;
use engine::accept::EventIn;
use engine::ops::{Accepted, OpsError};
use serde_json::value::RawValue;

use crate::dice::Dice;
use crate::faults::Fault;
use crate::model::{Broken, Item};
use crate::oracle::{self, Expected, amount};
use crate::world::{Done, Event, Sabotage, World};

const EVENT_TYPES: [&str; 4] = ["order.paid", "order.failed", "user.created", "ping"];

/// How often a client tries before it gives up.
const TRIES_MAX: u32 = 40;

/// Requests and their events that wait when a world with a backlog begins.
const BACKLOG_REQUESTS: usize = 12;
const BACKLOG_EVENTS: u64 = 100;

/// Beyond those of what is planned.
const BACKLOG_SERIAL: u64 = 1_000_000;

/// What an event of the plan is known by.
fn serial(number: usize, place: usize) -> u64 {
    // A request has six events at most. Multiples of 7 reach every amount.
    (number * 7 + place + 1) as u64
}

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
    /// Who is to hear of each of its events, as it was when they were posted last.
    expected: Vec<Expected>,
}

impl Client {
    fn new(tenant: TenantId, items: Vec<Item>) -> Self {
        Self {
            tenant,
            is_list: items.len() > 1,
            items,
            key: None,
            may_conflict: false,
            tries: 0,
            is_waiting: false,
            expected: Vec::new(),
        }
    }

    /// Whether the answer may be that for an earlier request.
    fn may_be_known(&self) -> bool {
        let has_key = self.key.is_some() || self.items.iter().any(|item| item.key.is_some());
        has_key && (self.tries > 1 || self.may_conflict)
    }

    fn request(&self) -> Vec<EventIn> {
        let event = |item: &Item| EventIn {
            tenant: self.tenant,
            event_type: item.event_type.to_owned(),
            data: RawValue::from_string(format!(r#"{{"n":{},"amount":{}}}"#, item.serial, amount(item.serial)))
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
    /// A client with a request of so many events. `number` is that of the plan.
    pub(crate) fn draw_client(&mut self, tenant: TenantId, number: usize, length: usize, dice: &mut Dice) -> usize {
        let kind = dice.between(0, 3);
        let items = (0..length).map(|place| {
            let key = (kind == 1).then(|| format!("item-{number}-{place}"));
            self.draw_item(tenant, serial(number, place), key, dice)
        });
        let items = items.collect();
        let key = (kind == 2).then(|| format!("request-{number}"));
        self.clients.push(Client { key, ..Client::new(tenant, items) });
        let client = self.clients.len() - 1;
        if length == 1 && dice.chance(60) {
            self.share_a_key(client);
        }
        client
    }

    /// A client whose event nothing stands in the way of.
    pub(crate) fn draw_client_in_peace(&mut self, tenant: TenantId, number: usize) -> usize {
        let serial = serial(number, 0);
        let item = Item { serial, event_type: "order.paid", channels: None, key: None };
        self.model.posted_in_peace.insert(serial);
        self.model.items.insert(serial, (tenant, item.clone()));
        self.clients.push(Client::new(tenant, vec![item]));
        self.clients.len() - 1
    }

    /// What the first event of a client is known by.
    pub(crate) fn serial_of(&self, client: usize) -> u64 {
        self.clients[client].items[0].serial
    }

    fn draw_item(&mut self, tenant: TenantId, serial: u64, key: Option<String>, dice: &mut Dice) -> Item {
        let mine: Vec<_> =
            self.model.channels.iter().filter(|(_, one)| one.tenant == tenant).map(|(id, _)| *id).collect();
        let names_channels = !mine.is_empty() && dice.chance(150);
        let channels = names_channels.then(|| {
            let count = dice.position(3) + 1;
            (0..count).map(|_| mine[dice.position(mine.len())]).collect()
        });
        let item = Item { serial, event_type: dice.pick(&EVENT_TYPES), channels, key };
        self.model.items.insert(serial, (tenant, item.clone()));
        item
    }

    /// More than the process can hold, kept before it starts.
    pub(crate) fn make_backlog(&mut self) -> anyhow::Result<()> {
        let Some(tenant) = self.tenants.first().copied() else { return Ok(()) };
        for number in 0..BACKLOG_REQUESTS {
            let first = BACKLOG_SERIAL + number as u64 * BACKLOG_EVENTS;
            let items = (first..first + BACKLOG_EVENTS).map(|serial| {
                let item = Item { serial, event_type: "order.paid", channels: None, key: None };
                self.model.items.insert(serial, (tenant, item.clone()));
                item
            });
            let client = Client { is_waiting: true, ..Client::new(tenant, items.collect()) };
            let events = client.request();
            self.clients.push(client);
            let engine = self.engine();
            let kept = self.drive(async move { engine.accept_events(tenant, events, true, None).await });
            self.posted(self.clients.len() - 1, kept);
        }
        self.die();
        self.start_process()
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
        // The keys of a deleted tenant are refused.
        if client.is_waiting || self.model.gone.contains(&client.tenant) {
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
        let client = &self.clients[number];
        let expected = client.items.iter().map(|item| oracle::expect(&self.model, client.tenant, item)).collect();
        let client = &mut self.clients[number];
        client.is_waiting = true;
        client.expected = expected;
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
                let client = &self.clients[number];
                if ids.len() == serials.len() {
                    self.kept(number, &accepted)
                } else if client.may_be_known() && self.scenario.settings.retention.events.is_some() {
                    // Its key outlives its events, which operators can have for no shorter than keys.
                    Ok(())
                } else {
                    Err(format!("{} events were posted and {} kept", serials.len(), ids.len()))
                }
            }
            // Its tenant is no more, or will not be.
            Err(_) if self.model.leaving.contains(&client.tenant) => Ok(()),
            Err(OpsError::Conflict(_)) if self.model.may_be_suspended(client.tenant) => {
                self.post_again(number);
                Ok(())
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

    fn kept(&mut self, number: usize, accepted: &[Accepted]) -> Result<(), Broken> {
        let client = &self.clients[number];
        // Of a large fan-out the answer names the beginning.
        let is_certain = !client.may_be_known() && !self.scenario.has_large_fan_out;
        for (place, (item, one)) in client.items.iter().zip(accepted).enumerate() {
            self.model.keeps(item.serial, one.event.id, &one.event.deliveries)?;
            if let Some(expected) = client.expected.get(place).filter(|_| is_certain) {
                oracle::check(&self.model, item.serial, expected, &one.event.deliveries)?;
            }
        }
        Ok(())
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
