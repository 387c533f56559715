//! The wire: requests and mails on their way to the receivers, and what is heard of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Clock as _;
use engine::dispatch::Input;
use engine::dispatch::attempt::{AttemptRun, Flight};
use providers::step::{Reply, Step};
use store::Journal as _;

use crate::clock::us;
use crate::dice::Dice;
use crate::mail;
use crate::model::{StartBounds, deliveries_of};
use crate::process::read;
use crate::properties;
use crate::receivers::{Fate, Mood, Receiver, draw_fate};
use crate::world::{Event, Sabotage, World};

/// How long a mail server has for a mail.
const MAIL_TIMEOUT: Duration = Duration::from_secs(60);

/// What a receiver reads of a step.
struct Letter {
    receiver: usize,
    wire_id: String,
    /// The event of each delivery.
    serials: Vec<u64>,
    body: Bytes,
    timeout: Duration,
    is_mail: bool,
}

impl Letter {
    /// `None` for a step that goes nowhere.
    fn read(step: &Step) -> Option<Self> {
        match step {
            Step::Http(step) => {
                let (receiver, wire_id, serials) = properties::read_request(step);
                let (body, timeout) = (step.body.clone(), step.timeout);
                Some(Self { receiver, wire_id, serials, body, timeout, is_mail: false })
            }
            Step::Smtp(step) => Some(Self {
                receiver: properties::receiver_of(&step.to).unwrap_or(usize::MAX),
                wire_id: step.message_id.clone(),
                serials: mail::serials(step),
                body: step.message.clone(),
                timeout: MAIL_TIMEOUT,
                is_mail: true,
            }),
            Step::Inbox(_) => None,
        }
    }
}

impl World {
    /// A try begins.
    pub(crate) fn send(&mut self, flight: Flight) {
        let id = self.new_exchange();
        let deliveries = deliveries_of(&flight);
        let now = self.clock.now();
        let bounds = StartBounds { in_flight_max: self.scenario.settings.in_flight_max, life: self.life, now };
        self.take_redriven(&deliveries);
        let Some(process) = &self.process else { return };
        let store = Arc::clone(&process.store);
        let tenant = flight.content.event.content.tenant;
        let waits =
            |delivery| read(store.delivery(tenant, delivery)).ok().flatten().is_some_and(|one| !one.state.is_final());
        let checked = self.model.sends(id, &flight, bounds, waits);
        self.breaks(checked);
        let again = self.sabotages(|sabotage, _| sabotage == Sabotage::SendTwice, None).then(|| flight.clone());
        let Some(process) = &self.process else { return };
        let registry = Arc::clone(&process.registry);
        let mut run = AttemptRun::plan(flight, &registry, now);
        match run.next_step() {
            Some(step) => self.carry(id, run, &step),
            None => self.breaks(Err(format!("{deliveries:?} was started and nothing is to be sent"))),
        }
        if let Some(flight) = again {
            self.send(flight);
        }
    }

    fn new_exchange(&mut self) -> u64 {
        self.exchanges += 1;
        self.exchanges
    }

    /// A step of a try is on its way.
    fn carry(&mut self, id: u64, run: AttemptRun, step: &Step) {
        let now = self.clock.now();
        let Some(letter) = Letter::read(step) else {
            self.breaks(Err(format!("{step:?} is nothing that this wire carries")));
            return;
        };
        let Some(process) = &mut self.process else { return };
        let note = run.note(now);
        process.in_flight.note(run.slot(), &note).expect("memory takes everything");
        process.runs.insert(id, run);
        let Some(exchange) = self.model.exchanges.get_mut(&id) else { return };
        exchange.step = note.step;
        let (deliveries, channel) = (exchange.deliveries.clone(), exchange.channel);
        let Letter { receiver, wire_id, serials, body, timeout, is_mail } = letter;
        let (number, position) = (note.number, note.step);
        self.note(format_args!(
            "send {id}: {deliveries:?} try {number} step {position} channel {channel} serials {serials:?}"
        ));
        let checked = self.model.on_the_wire(id, &wire_id, &body);
        self.breaks(checked);
        let checked = properties::right_receiver(&self.model, channel, receiver);
        self.breaks(checked);
        let checked = properties::right_events(&self.model, &deliveries, &serials);
        self.breaks(checked);
        self.watch_send(id, &serials);
        let mood = self.receivers.get(receiver).map_or(Mood::Healthy, |receiver| receiver.mood);
        let of = [self.seed, note.delivery.0.unsigned_abs(), u64::from(number), u64::from(position)];
        let mut dice = Dice::of(&of);
        let mut fate = draw_fate(mood, us(timeout), &mut dice, &mut self.faults);
        if is_mail {
            fate = mail::as_mail(fate, &wire_id);
        }
        // One that is made again after a loss of power may have arrived the first time, and would be no lie.
        let is_first = !self.model.forgotten.contains(&(note.delivery, number));
        if is_first && self.sabotages(|sabotage, _| sabotage == Sabotage::ForgeAnswer, None) {
            fate.arrives_us = None;
        }
        self.exchange(id, fate);
    }

    fn exchange(&mut self, id: u64, fate: Fate) {
        if let Some(wait_us) = fate.arrives_us {
            self.after(wait_us, Event::Arrive(id));
        }
        self.after(fate.replies_us, Event::Reply(id, Box::new(fate.reply.clone())));
        self.fates.insert(id, fate);
    }

    pub(crate) fn arrive(&mut self, id: u64) {
        let Some(fate) = self.fates.get(&id) else { return };
        let answer = fate.answer;
        self.model.arrives(id, answer);
        self.watch_arrival(id);
        self.note(format_args!("arrive {id}: {answer:?}"));
    }

    pub(crate) fn reply(&mut self, id: u64, reply: &Reply) {
        let took = self.fates.remove(&id).map_or(Duration::ZERO, |fate| Duration::from_micros(fate.replies_us));
        let now = self.clock.now();
        let Some(process) = &mut self.process else { return };
        let Some(mut run) = process.runs.remove(&id) else { return };
        let status = match reply {
            Reply::Http(answer) => answer.status.as_u16(),
            Reply::Smtp(answer) => answer.code,
            Reply::Kept | Reply::Failed(_) => 0,
        };
        run.answer(reply, (now, took), &process.registry, now);
        if let Some(step) = run.next_step() {
            self.model.hears(id, status, None);
            let next = self.new_exchange();
            self.model.goes_on(id, next);
            self.carry(next, run, &step);
            return;
        }
        let answered = run.finish();
        let hint = answered.outcome.hint.filter(|_| status == 429);
        self.model.hears(id, status, hint.map(|wait| now.after(wait)));
        self.hear(Input::Answered(Box::new(answered)));
    }

    pub(crate) fn change_mood(&mut self, number: usize) {
        if self.is_peace {
            return;
        }
        let last_us = us(self.scenario.trouble) / 2;
        let receiver = &mut self.receivers[number];
        let mood = Mood::draw(&mut receiver.dice);
        receiver.mood = mood;
        let wait_us = receiver.dice.between(100_000, last_us);
        self.note(format_args!("receiver {number} is {mood:?}"));
        self.after(wait_us, Event::Mood(number));
    }

    /// A receiver of its own for a new channel.
    pub(crate) fn new_receiver(&mut self, dice: &mut Dice) -> usize {
        let number = self.receivers.len();
        self.receivers.push(Receiver { mood: Mood::Healthy, dice: dice.fork() });
        if !self.is_peace {
            self.after(0, Event::Mood(number));
        }
        number
    }
}
