//! The lives of the process: how it starts, and the ways in which it ends.

use std::sync::Arc;
use std::time::Duration;

use domain::Clock;

use crate::faults::Fault;
use crate::process::{Process, Start};
use crate::properties;
use crate::world::{Done, Event, World};

impl World {
    pub(crate) fn start_process(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        self.process = Some(Process::start(Start {
            data_dir: self.data_dir.path(),
            settings: self.scenario.settings,
            segment_rows_max: self.scenario.segment_rows_max,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.entropy) as Arc<_>,
            slots: Arc::clone(&self.slots) as Arc<_>,
        })?);
        let life = self.life;
        self.note(format_args!("life {life} begins"));
        // A million rows are counted where they lie, and not read.
        let checked = if self.watch.is_some() { self.count_all() } else { properties::sums(self) };
        self.breaks(checked);
        Ok(())
    }

    /// Drops everything that a process has in memory.
    pub(crate) fn die(&mut self) {
        if self.process.take().is_none() {
            return;
        }
        self.life += 1;
        self.is_commit_due = false;
        self.model.dies();
        self.watch_death();
        // Requests that are on their way may still arrive.
        let under_way: Vec<u64> = self.fates.keys().copied().collect();
        for id in under_way {
            if self.dice.chance(500) {
                self.fates.remove(&id);
            }
        }
        self.lose_clients();
        self.lose_order();
    }

    pub(crate) fn crash(&mut self) {
        self.note(format_args!("crash"));
        self.die();
        self.start_later();
    }

    /// The machine is without power: what was noted of sends under way may be lost.
    pub(crate) fn lose_power(&mut self) {
        self.note(format_args!("no power"));
        self.model.forgets();
        self.die();
        self.slots.lose_power(&mut self.dice);
        self.start_later();
    }

    fn start_later(&mut self) {
        let wait_us = self.dice.between(1_000, 5_000_000);
        self.after(wait_us, Event::Restart);
    }

    /// What may go wrong between any two steps.
    pub(crate) fn maybe_interrupt(&mut self) {
        if self.faults.strikes(Fault::Crash) {
            self.crash();
        } else if self.faults.strikes(Fault::PowerLoss) {
            self.lose_power();
        } else if self.faults.strikes(Fault::Stop) {
            self.stop();
        } else if !self.is_disk_out && self.faults.strikes(Fault::Outage) {
            self.is_disk_out = true;
            self.note(format_args!("the disk takes nothing"));
            let wait_us = self.dice.between(10_000, 5_000_000);
            self.after(wait_us, Event::OutageOver);
        } else if self.faults.strikes(Fault::ClockForward) {
            self.turn_clock(1);
        } else if self.faults.strikes(Fault::ClockBack) {
            self.model.clock_went_back = true;
            self.model.limits.doubt_clock();
            self.turn_clock(-1);
        }
    }

    fn turn_clock(&mut self, sign: i64) {
        let most_ms = self.dice.pick(&[10, 1_000, 30_000]);
        let by_ms = sign * i64::try_from(self.dice.between(1, most_ms)).unwrap_or(0);
        self.clock.turn(by_ms);
        self.note(format_args!("the clock is turned by {by_ms} ms"));
    }

    pub(crate) fn stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.is_stopping {
            return;
        }
        process.is_stopping = true;
        let handle = process.handle.clone();
        process.spawn(async move {
            handle.stop(Duration::from_secs(30)).await;
            Done::Stopped
        });
        self.note(format_args!("told to stop"));
        self.go_on();
    }

    pub(crate) fn stopped(&mut self) {
        let is_settled = self.model.under_way.is_empty();
        if !is_settled {
            self.breaks(Err("a graceful stop ended with deliveries under way".to_owned()));
        }
        self.note(format_args!("stopped"));
        self.die();
        let wait_us = self.dice.between(1_000, 1_000_000);
        self.after(wait_us, Event::Restart);
    }
}
