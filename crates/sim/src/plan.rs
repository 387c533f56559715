//! The plan of a world: who is in it and what is to happen, drawn before anything does.
//!
//! Each thing has dice of its own and a number that stays the same whatever is left out, so that a world can be
//! [shrunk](crate::shrink).

use std::collections::BTreeMap;

use domain::TenantId;
use engine::ops::TenantEdit;

use crate::clock::us;
use crate::dice::Dice;
use crate::scenario::Scenario;
use crate::shrink::Part;
use crate::world::{Event, World};

/// One thing that is planned.
pub(crate) struct Planned {
    what: What,
    at_us: u64,
    dice: Dice,
}

/// What it is. Tenants are named by their place in the plan.
enum What {
    Tenant(usize),
    Channel(usize),
    /// A request with so many events.
    Post(usize, usize),
    /// An event that nothing stands in the way of.
    PostInPeace(usize),
    /// An owner wants something.
    Order,
    /// Somebody looks at something.
    Look,
}

impl Planned {
    pub(crate) fn draw(scenario: &Scenario, dice: &mut Dice) -> Vec<Self> {
        let trouble_us = us(scenario.trouble);
        let mut plan = Vec::new();
        let mut add = |what, at_us, dice| plan.push(Self { what, at_us, dice });
        for place in 0..scenario.tenants {
            add(What::Tenant(place), 0, dice.fork());
        }
        // Everyone has one before somebody has two.
        for number in 0..scenario.channels {
            add(What::Channel(number % scenario.tenants), 0, dice.fork());
        }
        let is_burst = dice.chance(400);
        let last_us = if is_burst { trouble_us / 10 } else { trouble_us - trouble_us / 10 };
        let mut events = 0;
        while events < scenario.events {
            let length = if dice.chance(800) { 1 } else { dice.position(6) + 1 };
            events += length;
            let place = if scenario.has_large_fan_out { 0 } else { dice.position(scenario.tenants) };
            add(What::Post(place, length), dice.between(0, last_us), dice.fork());
        }
        for _ in 0..dice.between(0, 60) {
            add(What::Order, dice.between(0, trouble_us), dice.fork());
        }
        for _ in 0..20 {
            add(What::Look, dice.between(0, trouble_us), dice.fork());
        }
        let in_peace = if scenario.has_large_fan_out { 0 } else { scenario.tenants * 3 };
        for number in 0..in_peace {
            add(What::PostInPeace(number % scenario.tenants), dice.between(2_000_000, 3_000_000), dice.fork());
        }
        plan
    }
}

impl World {
    /// Makes what is there from the beginning, and sees to it that the rest happens.
    pub(crate) fn carry_out(&mut self, plan: Vec<Planned>) -> anyhow::Result<()> {
        let mut tenants = BTreeMap::new();
        for (number, planned) in plan.into_iter().enumerate() {
            let part = Part::Planned(number);
            if self.only.has(part) && self.begin(number, planned, &mut tenants)? {
                self.parts.push(part);
            }
        }
        Ok(())
    }

    /// Returns whether there is such a thing: without its tenant there is not.
    fn begin(
        &mut self,
        number: usize,
        planned: Planned,
        tenants: &mut BTreeMap<usize, TenantId>,
    ) -> anyhow::Result<bool> {
        let Planned { what, at_us, mut dice } = planned;
        match what {
            What::Tenant(place) => {
                let engine = self.engine();
                let tenant =
                    self.drive(async move { engine.put_tenant(&format!("t{place}"), TenantEdit::named("T")).await })?;
                tenants.insert(place, tenant.id);
                self.tenants.push(tenant.id);
            }
            What::Channel(place) => {
                let Some(tenant) = tenants.get(&place) else { return Ok(false) };
                self.make_channel(*tenant, &mut dice)?;
            }
            What::Post(place, length) => {
                let Some(tenant) = tenants.get(&place) else { return Ok(false) };
                let client = self.draw_client(*tenant, number, length, &mut dice);
                self.at(at_us, Event::Post(client));
            }
            What::PostInPeace(place) => {
                let Some(tenant) = tenants.get(&place) else { return Ok(false) };
                let client = self.draw_client_in_peace(*tenant, number);
                self.at(us(self.scenario.trouble) + at_us, Event::Post(client));
            }
            What::Order => self.at(at_us, Event::Order(dice)),
            What::Look => self.at(at_us, Event::Look(dice)),
        }
        Ok(true)
    }
}
