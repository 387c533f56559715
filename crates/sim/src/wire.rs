//! The wire: requests on their way to the receivers, and what is heard of them.

use std::time::Duration;

use domain::Clock as _;
use engine::dispatch::Input;
use engine::dispatch::attempt::{AttemptRun, Flight};
use providers::step::{Reply, Step};

use crate::clock::us;
use crate::dice::Dice;
use crate::model::{StartBounds, deliveries_of};
use crate::properties;
use crate::receivers::{Mood, Receiver, draw_fate};
use crate::world::{Event, Sabotage, World};

impl World {
    pub(crate) fn send(&mut self, flight: Flight) {
        self.exchanges += 1;
        let id = self.exchanges;
        let deliveries = deliveries_of(&flight);
        let (delivery, channel, number) = (flight.delivery, flight.channel, flight.content.tries + 1);
        let now = self.clock.now();
        let bounds = StartBounds { in_flight_max: self.scenario.settings.in_flight_max, life: self.life, now };
        self.take_redriven(&deliveries);
        let checked = self.model.sends(id, &flight, bounds);
        self.breaks(checked);
        let again = self.sabotages(|sabotage, _| sabotage == Sabotage::SendTwice, None).then(|| flight.clone());
        let Some(process) = &mut self.process else { return };
        let mut run = AttemptRun::plan(flight, &process.registry, now);
        let step = match run.next_step() {
            Some(Step::Http(step)) => step,
            other => {
                self.breaks(Err(format!("delivery {delivery}: {other:?} is nothing that this wire carries")));
                return;
            }
        };
        let noted = process.in_flight.note(run.slot(), &run.note(now));
        noted.expect("memory takes everything");
        process.runs.insert(id, run);
        let (receiver, wire_id, serials) = properties::read_request(&step);
        self.note(format_args!("send {id}: {deliveries:?} try {number} channel {channel} serials {serials:?}"));
        let checked = self.model.on_the_wire(&deliveries, &wire_id, &step.body);
        self.breaks(checked);
        let checked = properties::right_events(&self.model, &deliveries, &serials);
        self.breaks(checked);
        let checked = properties::right_receiver(&self.model, channel, receiver);
        self.breaks(checked);
        let mood = self.receivers.get(receiver).map_or(Mood::Healthy, |receiver| receiver.mood);
        let mut dice = Dice::of(&[self.seed, delivery.0.unsigned_abs(), u64::from(number)]);
        let mut fate = draw_fate(mood, us(step.timeout), &mut dice, &mut self.faults);
        if self.sabotages(|sabotage, _| sabotage == Sabotage::ForgeAnswer, None) {
            fate.arrives_us = None;
        }
        if let Some(wait_us) = fate.arrives_us {
            self.after(wait_us, Event::Arrive(id));
        }
        self.after(fate.replies_us, Event::Reply(id, Box::new(fate.reply.clone())));
        self.fates.insert(id, fate);
        if let Some(flight) = again {
            self.send(flight);
        }
    }

    pub(crate) fn arrive(&mut self, id: u64) {
        let Some(fate) = self.fates.get(&id) else { return };
        let answer = fate.answer;
        self.model.arrives(id, answer);
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
