//! What everyone was told and what the receivers got: the simulator's own memory, which survives every crash.
//!
//! What can be judged at the moment when it happens is judged here; what needs the store is in `properties.rs`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::channel::OnUnknown;
use domain::delivery::{EDGES, State};
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use engine::dispatch::attempt::Flight;
use store::queue::{Next, Settlement};

use crate::limits::Limits;
use crate::oracle::RouteWish;

/// Something that must not be.
pub type Broken = String;

/// What a client posts, as one event.
#[derive(Clone, Debug)]
pub struct Item {
    /// The number in its data: what the receivers know it by.
    pub serial: u64,
    pub event_type: &'static str,
    pub channels: Option<Vec<ChannelId>>,
    pub key: Option<String>,
}

/// A channel as its owner believes it to be.
#[derive(Clone, Debug)]
pub struct ChannelBelief {
    pub tenant: TenantId,
    pub receiver: usize,
    /// Never changed in a simulation, as the number of its steps.
    pub on_unknown: OnUnknown,
    /// What a message takes: a mail has a step for each recipient.
    pub steps: u32,
    pub is_deleted: bool,
    /// Switched off, and nobody has asked to switch it on since.
    pub is_off: bool,
    /// It answered that it is gone, and nobody has asked to go on since.
    pub is_refused: bool,
    /// Until then it asked to be left alone.
    pub throttled_until: Option<Timestamp>,
    /// Raised with every change that its owner asks for.
    pub changes: u32,
    pub hearing: Hearing,
}

/// What a channel hears of, as its owner believes.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// What is wanted; `None` when that is not followed.
    pub routes: Option<RouteWish>,
    /// Changes of it that are asked for and not answered.
    pub asking: u32,
    /// Whether nobody knows what became of the last of them.
    pub is_doubtful: bool,
}

impl Hearing {
    /// Whether the owner knows what the channel hears of.
    pub fn is_certain(&self) -> bool {
        self.asking == 0 && !self.is_doubtful && self.routes.is_some()
    }
}

/// One request on the wire.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// One, or those of a digest.
    pub deliveries: Vec<DeliveryId>,
    pub channel: ChannelId,
    pub life: u32,
    /// Which try of the delivery, and which step of it.
    pub number: u32,
    pub step: u32,
    pub is_test: bool,
    /// The channel's [`ChannelBelief::changes`] when it began.
    pub changes: u32,
    pub has_arrived: bool,
    /// What the receiver answered.
    pub answer: Option<u16>,
    /// The status that the sender heard; 0: that there is no answer.
    pub heard: Option<u16>,
}

/// How much there was of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub sends: u64,
    pub arrivals: u64,
    pub repeats: u64,
    pub lives: u64,
    pub sent: u64,
    pub dead: u64,
    pub cancelled: u64,
    pub expired: u64,
}

#[derive(Debug, Default)]
pub struct Model {
    pub items: BTreeMap<u64, (TenantId, Item)>,
    /// Events that a client was told are kept, with the deliveries that it was told of.
    pub kept: BTreeMap<EventId, (u64, Vec<(DeliveryId, ChannelId)>)>,
    pub channels: BTreeMap<ChannelId, ChannelBelief>,
    pub exchanges: BTreeMap<u64, Exchange>,
    /// The id of the message that each step of a delivery is, or is part of.
    pub wire: BTreeMap<(DeliveryId, u32), String>,
    /// What the message with an id looks like: its deliveries, and its body.
    pub messages: BTreeMap<String, (Vec<DeliveryId>, Bytes)>,
    /// The steps that a receiver has got at least once.
    pub arrived: BTreeSet<(DeliveryId, u32)>,
    /// The steps that were taken, as the sender heard, and in which try: none is needed again.
    pub taken: BTreeMap<(DeliveryId, u32), u32>,
    /// Started and not durably settled in this life: its exchange.
    pub under_way: BTreeMap<DeliveryId, u64>,
    /// Tries whose result may have been lost in a crash.
    pub interrupted: BTreeSet<(DeliveryId, u32)>,
    /// When the dispatcher said that a delivery is due again.
    pub due: BTreeMap<DeliveryId, Timestamp>,
    /// Over, as the dispatcher was told by the store.
    pub over: BTreeMap<DeliveryId, State>,
    /// Retried by a person.
    pub retried: BTreeSet<DeliveryId>,
    /// How often redrives have brought a dead letter back.
    pub redriven: BTreeMap<DeliveryId, usize>,
    /// Whose each delivery is that was sent or that a client was told of.
    pub owners: BTreeMap<DeliveryId, (TenantId, ChannelId)>,
    /// The event of each delivery that a client was told of, by its serial.
    pub serials: BTreeMap<DeliveryId, u64>,
    /// Tries whose notes may be lost or torn: nobody may know that they were made.
    pub forgotten: BTreeSet<(DeliveryId, u32)>,
    /// Of these tenants nothing starts.
    pub held_tenants: BTreeSet<TenantId>,
    /// Tenants that somebody has asked to suspend, and that are not known to be resumed.
    maybe_suspended: BTreeSet<TenantId>,
    /// Tenants that somebody has asked to resume since.
    resuming: BTreeSet<TenantId>,
    /// Tenants that somebody has asked to delete.
    pub leaving: BTreeSet<TenantId>,
    /// Those that are known to be deleted.
    pub gone: BTreeSet<TenantId>,
    /// Retries that are asked for and not answered.
    pub asked: BTreeSet<DeliveryId>,
    /// The last state that somebody saw.
    pub seen: BTreeMap<DeliveryId, State>,
    /// Slices of redrives that the dispatcher waits for.
    pub slices: u32,
    /// When channels tripped in this life.
    pub trips: BTreeSet<(ChannelId, Timestamp)>,
    /// Posted when nothing goes wrong any more.
    pub posted_in_peace: BTreeSet<u64>,
    /// Whether the wall clock went back in this life: then nothing is said about due times.
    pub clock_went_back: bool,
    pub limits: Limits,
    pub counts: Counts,
}

/// What holds for starts, whatever the channel.
#[derive(Clone, Copy, Debug)]
pub struct StartBounds {
    pub in_flight_max: usize,
    pub life: u32,
    pub now: Timestamp,
}

impl Model {
    /// A request goes out. `waits` says what the store does of a delivery of its tenant.
    pub fn sends(
        &mut self,
        id: u64,
        flight: &Flight,
        bounds: StartBounds,
        waits: impl Fn(DeliveryId) -> bool,
    ) -> Result<(), Broken> {
        let channel = flight.channel;
        let is_test = flight.content.attempts_max.is_some();
        let belief = self.channels.get(&channel);
        let changes = belief.map_or(0, |belief| belief.changes);
        let deliveries = deliveries_of(flight);
        let exchange = Exchange {
            deliveries: deliveries.clone(),
            channel,
            life: bounds.life,
            number: flight.content.tries + 1,
            step: 0,
            is_test,
            changes,
            has_arrived: false,
            answer: None,
            heard: None,
        };
        self.may_send(flight, is_test, bounds)?;
        if !is_test {
            let others = self.under_way.values().map(|id| &self.exchanges[id]);
            let others = others.filter(|other| other.channel == channel && !other.is_test).count();
            self.limits.start(flight, others, changes, bounds.now, waits)?;
        }
        self.counts.sends += 1;
        self.exchanges.insert(id, exchange);
        let tenant = flight.content.event.content.tenant;
        self.owners.extend(deliveries.iter().map(|delivery| (*delivery, (tenant, channel))));
        self.under_way.extend(deliveries.into_iter().map(|delivery| (delivery, id)));
        Ok(())
    }

    fn may_send(&self, flight: &Flight, is_test: bool, bounds: StartBounds) -> Result<(), Broken> {
        let Flight { delivery, channel, .. } = *flight;
        let what = format!("delivery {delivery} was started");
        let deliveries = deliveries_of(flight);
        if deliveries.iter().any(|delivery| self.under_way.contains_key(delivery)) {
            return Err(format!("{what} while it is under way"));
        }
        let tenant = flight.content.event.content.tenant;
        if self.held_tenants.contains(&tenant) || self.gone.contains(&tenant) {
            return Err(format!("{what} for tenant {tenant}, which is suspended or deleted"));
        }
        if let Some(state) = deliveries.iter().find_map(|delivery| self.over.get(delivery)) {
            return Err(format!("{what} after it was {state}"));
        }
        if flight.content.expires_at <= bounds.now && !self.clock_went_back {
            return Err(format!("{what} after its time-to-live"));
        }
        let Some(belief) = self.channels.get(&channel) else { return Ok(()) };
        if belief.is_deleted {
            return Err(format!("{what} on channel {channel}, which is deleted"));
        }
        if belief.is_off {
            return Err(format!("{what} on channel {channel}, which is switched off"));
        }
        if is_test {
            return Ok(());
        }
        if belief.is_refused {
            return Err(format!("{what} on channel {channel}, which is paused"));
        }
        if !self.clock_went_back {
            if belief.throttled_until.is_some_and(|until| bounds.now < until) {
                return Err(format!("{what} on channel {channel} before its Retry-After was over"));
            }
            let is_asked = deliveries.iter().any(|delivery| self.asked.contains(delivery));
            if !is_asked && self.due.get(&delivery).is_some_and(|due| bounds.now < *due) {
                return Err(format!("{what} before it was due"));
            }
        }
        let ids: BTreeSet<u64> = self.under_way.values().copied().collect();
        let others = || ids.iter().map(|id| &self.exchanges[id]).filter(|other| !other.is_test);
        if others().count() >= bounds.in_flight_max {
            return Err(format!("{what} beyond the bound of {} in flight", bounds.in_flight_max));
        }
        let concurrency = flight.live.channel.settings.concurrency as usize;
        if others().filter(|other| other.channel == channel && other.heard.is_none()).count() >= concurrency {
            return Err(format!("{what} beyond the concurrency of {concurrency} of channel {channel}"));
        }
        Ok(())
    }

    /// The try of one exchange goes on with another: its next step.
    pub fn goes_on(&mut self, id: u64, next: u64) {
        let Some(exchange) = self.exchanges.get(&id).cloned() else { return };
        self.under_way.extend(exchange.deliveries.iter().map(|delivery| (*delivery, next)));
        self.exchanges.insert(next, Exchange { has_arrived: false, answer: None, heard: None, ..exchange });
        self.counts.sends += 1;
    }

    /// A request reaches its receiver.
    pub fn arrives(&mut self, id: u64, answer: Option<u16>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.has_arrived = true;
        exchange.answer = answer;
        self.counts.arrivals += 1;
        for delivery in &exchange.deliveries {
            self.counts.repeats += u64::from(!self.arrived.insert((*delivery, exchange.step)));
        }
    }

    /// A step of a delivery is part of one message and of no other, and a message never changes.
    pub fn on_the_wire(&mut self, id: u64, wire_id: &str, body: &Bytes) -> Result<(), Broken> {
        let Some(Exchange { deliveries, step, .. }) = self.exchanges.get(&id) else { return Ok(()) };
        for delivery in deliveries {
            let known = self.wire.entry((*delivery, *step)).or_insert_with(|| wire_id.to_owned());
            if known != wire_id {
                return Err(format!("delivery {delivery} went out in {known} and then in {wire_id}"));
            }
            if let Some(number) = self.taken.get(&(*delivery, *step)) {
                return Err(format!(
                    "step {step} of delivery {delivery} was taken in try {number}, and goes out again"
                ));
            }
        }
        let sent = (deliveries.clone(), body.clone());
        // A channel without secret sends no id.
        let name = if wire_id.is_empty() { format!("{deliveries:?}") } else { wire_id.to_owned() };
        let known = self.messages.entry(name).or_insert_with(|| sent.clone());
        if *known == sent {
            return Ok(());
        }
        Err(format!("{wire_id} went out as {known:?} and then as {sent:?}"))
    }

    /// The sender hears what came of a request.
    pub fn hears(&mut self, id: u64, status: u16, throttled_until: Option<Timestamp>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.heard = Some(status);
        if (200..300).contains(&status) {
            let steps = exchange.deliveries.iter().map(|delivery| ((*delivery, exchange.step), exchange.number));
            self.taken.extend(steps);
        }
        let Some(belief) = self.channels.get_mut(&exchange.channel) else { return };
        if exchange.is_test {
            return;
        }
        // Whoever changed the channel since has made the answer stale.
        belief.is_refused |= status == 410 && belief.changes == exchange.changes;
        belief.throttled_until = belief.throttled_until.max(throttled_until);
    }

    /// The dispatcher wants results written down.
    pub fn decides(&mut self, settlements: &[Settlement]) -> Result<(), Broken> {
        for settlement in settlements {
            let changes = self.channels.get(&settlement.channel).map_or(0, |belief| belief.changes);
            self.limits.decide(settlement, changes);
            match &settlement.next {
                Next::Wait { due_at, .. } => drop(self.due.insert(settlement.delivery, *due_at)),
                Next::Over { state, note, .. } => {
                    if *state != State::Sent && note.is_empty() {
                        return Err(format!("delivery {} is to be {state} without a reason", settlement.delivery));
                    }
                }
            }
        }
        Ok(())
    }

    /// The dispatcher is told that results are durable.
    pub fn settles(&mut self, settlements: &[Settlement]) {
        for settlement in settlements {
            let delivery = settlement.delivery;
            self.under_way.remove(&delivery);
            if let Next::Over { state, .. } = &settlement.next
                && !self.retried.contains(&delivery)
            {
                self.over.insert(delivery, *state);
            }
        }
    }

    /// A person asks for another try.
    pub fn retries(&mut self, delivery: DeliveryId) {
        // A message that is merged is sent again as it was.
        for delivery in self.together(delivery) {
            self.retried.insert(delivery);
            self.over.remove(&delivery);
            self.due.remove(&delivery);
            self.seen.remove(&delivery);
        }
    }

    /// The deliveries that were sent in one message with this one, itself among them.
    pub fn together(&self, delivery: DeliveryId) -> Vec<DeliveryId> {
        let message = self.wire.get(&(delivery, 0)).and_then(|wire_id| self.messages.get(wire_id));
        message.map_or_else(|| vec![delivery], |(deliveries, _)| deliveries.clone())
    }

    /// Nobody may ever know of the tries under way.
    pub fn forgets(&mut self) {
        for id in self.under_way.values() {
            let Exchange { deliveries, number, .. } = &self.exchanges[id];
            self.forgotten.extend(deliveries.iter().map(|delivery| (*delivery, *number)));
            // As if it had never gone out, it may go out in another message.
            self.wire.retain(|(delivery, _), _| !deliveries.contains(delivery));
            self.taken.retain(|(delivery, _), taken| !deliveries.contains(delivery) || taken != number);
        }
    }

    /// Tests under way to a channel.
    pub fn tests_of(&self, channel: ChannelId) -> u64 {
        let is_one = |id: &&u64| self.exchanges[id].is_test && self.exchanges[id].channel == channel;
        self.under_way.values().filter(is_one).count() as u64
    }

    /// The process is gone.
    pub fn dies(&mut self) {
        self.trips.clear();
        self.slices = 0;
        for id in std::mem::take(&mut self.under_way).into_values() {
            let Exchange { deliveries, number, step, .. } = &self.exchanges[&id];
            self.interrupted.extend(deliveries.iter().map(|delivery| (*delivery, *number)));
            // Of the steps before, it is noted that they are done.
            self.taken.retain(|(delivery, of), _| of != step || !deliveries.contains(delivery));
        }
        for belief in self.channels.values_mut() {
            // Both are known in memory only, at least until the store has them.
            belief.throttled_until = None;
            belief.is_refused = false;
            belief.hearing.is_doubtful |= std::mem::take(&mut belief.hearing.asking) > 0;
        }
        self.due.clear();
        self.limits.die();
        self.clock_went_back = false;
        self.counts.lives += 1;
    }

    /// A redrive has brought back what was dead.
    pub fn is_redriven(&mut self, delivery: DeliveryId) {
        *self.redriven.entry(delivery).or_default() += 1;
        self.over.remove(&delivery);
        self.due.remove(&delivery);
    }

    /// Somebody asks to suspend a tenant.
    pub fn suspension_asked(&mut self, tenant: TenantId) {
        self.maybe_suspended.insert(tenant);
        self.resuming.remove(&tenant);
    }

    /// It is suspended, unless somebody has asked to resume it since.
    pub fn suspended(&mut self, tenant: TenantId) {
        if !self.resuming.contains(&tenant) {
            self.held_tenants.insert(tenant);
        }
    }

    /// Somebody asks to resume it.
    pub fn resumption_asked(&mut self, tenant: TenantId) {
        self.resuming.insert(tenant);
        self.held_tenants.remove(&tenant);
    }

    pub fn resumed(&mut self, tenant: TenantId) {
        if self.resuming.contains(&tenant) {
            self.maybe_suspended.remove(&tenant);
        }
    }

    /// Whether its requests may be refused because it is suspended.
    pub fn may_be_suspended(&self, tenant: TenantId) -> bool {
        self.maybe_suspended.contains(&tenant)
    }

    /// A tenant is deleted, with all it had.
    pub fn gone(&mut self, tenant: TenantId) {
        self.gone.insert(tenant);
        for belief in self.channels.values_mut().filter(|belief| belief.tenant == tenant) {
            belief.is_deleted = true;
        }
    }

    /// Somebody saw a delivery in a state. `is_redriven` says whether a redrive may have brought it back.
    pub fn sees(&mut self, delivery: DeliveryId, state: State, is_redriven: bool) -> Result<(), Broken> {
        let may_come_back = self.retried.contains(&delivery) || is_redriven;
        match self.seen.insert(delivery, state) {
            Some(before) if !leads_to(before, state, may_come_back) => {
                Err(format!("delivery {delivery} was {before} and then {state}"))
            }
            _ => Ok(()),
        }
    }

    /// A client was told that these are kept.
    pub fn keeps(&mut self, serial: u64, event: EventId, deliveries: &[(DeliveryId, ChannelId)]) -> Result<(), Broken> {
        if let Some((other, _)) = self.kept.get(&event)
            && *other != serial
        {
            return Err(format!("event {event} was the answer for {other} and for {serial}"));
        }
        self.kept.insert(event, (serial, deliveries.to_vec()));
        self.serials.extend(deliveries.iter().map(|(delivery, _)| (*delivery, serial)));
        let tenant = self.items[&serial].0;
        self.owners.extend(deliveries.iter().map(|(delivery, channel)| (*delivery, (tenant, *channel))));
        Ok(())
    }
}

/// What a flight delivers.
pub(crate) fn deliveries_of(flight: &Flight) -> Vec<DeliveryId> {
    let digest = flight.content.digest.as_ref();
    digest.map_or_else(|| vec![flight.delivery], |digest| digest.members.iter().map(|member| member.delivery).collect())
}

/// Whether the edges lead from one state to the other, in any number of steps.
fn leads_to(from: State, to: State, is_retried: bool) -> bool {
    let mut reached = BTreeSet::from([from]);
    loop {
        let more: Vec<State> = EDGES
            .iter()
            .filter(|(start, ..)| reached.contains(start) && (is_retried || *start != State::Dead))
            .map(|(.., end)| *end)
            .filter(|end| !reached.contains(end))
            .collect();
        if more.is_empty() {
            return reached.contains(&to);
        }
        reached.extend(more);
    }
}
