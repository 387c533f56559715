//! Owners: they change channels in mid-run, test them, and retry what is dead.

use std::sync::Arc;
use std::time::Duration;

use domain::breaker::{BreakerRule, Drain};
use domain::channel::{ChannelSettings, DigestRule, OnUnknown, RateLimit, RatePeriod};
use domain::delivery::State;
use domain::redrive::{Progress, Source, Wanted};
use domain::schedule::Schedule;
use domain::{ChannelId, DeliveryId, Secret, TenantId};
use engine::ops::{ChannelEdit, ChannelTest, ConfigEdit, DeliveryFilter, NewChannel, OpsError, RedriveRequest};
use engine::registry::LiveChannel;
use serde_json::{Map, Value};
use store::Directory as _;
use store::directory::NewRoute;

use crate::model::ChannelBelief;
use crate::process::{Task, poll};
use crate::receivers::Mood;
use crate::world::{Done, Event, World};

/// Channels of a world with a large fan-out: more than an accepting transaction writes.
const MANY: usize = store::queue::EVENT_DELIVERIES_MAX + 60;

/// What an owner asks for.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Off(ChannelId),
    On(ChannelId),
    Delete(ChannelId),
    /// A new config, which ends a pause.
    Mend(ChannelId),
    /// Other event types and another filter.
    Reroute(ChannelId),
    Narrow(ChannelId),
    /// Another way to merge deliveries.
    Merge(ChannelId),
    Create,
    /// It was made; what it is.
    Made(Arc<LiveChannel>),
    Test(ChannelId),
    Look(State),
    /// What the look found.
    Retry(TenantId, Option<DeliveryId>),
    /// All dead letters of a tenant, or all events for one channel.
    Redrive(TenantId, Option<ChannelId>),
    /// The newest redrive of a tenant.
    Steer(TenantId, Progress),
}

/// The order that waits for its answer. Owners change one thing at a time, and ask again until they are sure.
#[derive(Default)]
pub(crate) struct Owner {
    waiting: Option<Order>,
}

impl World {
    pub(crate) fn draw_channel(&mut self) -> (TenantId, NewChannel) {
        // Everyone has one before somebody has two.
        let tenant = self.tenants[self.model.channels.len() % self.tenants.len()];
        let receiver = self.new_receiver();
        let mut edit = self.draw_routes();
        let waits = self.dice.pick(&[&[][..], &[], &[1], &[1, 5, 30], &[2, 2, 2, 2, 2, 60, 300]]);
        let schedule = Schedule::new(waits.iter().map(|seconds| Duration::from_secs(*seconds)).collect());
        edit.retry = Some(Some(schedule.expect("a schedule")));
        edit.time_to_live = Some(Some(Duration::from_secs(self.dice.pick(&[600, 1_800, 7_200]))));
        edit.concurrency = Some(self.dice.pick(&[1, 1, 2, 8]));
        edit.on_unknown = Some(self.dice.pick(&[OnUnknown::Retry, OnUnknown::Retry, OnUnknown::GiveUp]));
        self.wish(&mut edit);
        edit.digest = self.dice.chance(350).then(|| Some(self.draw_digest()));
        let new = NewChannel {
            name: "C".to_owned(),
            provider: "webhook".to_owned(),
            config: config(receiver, "first"),
            edit,
            dialect: None,
            is_managed: false,
        };
        (tenant, new)
    }

    /// Some owners limit the rate of a channel, and some want what it gets in order.
    fn wish(&mut self, edit: &mut ChannelEdit) {
        if self.wishes.chance(300) {
            let (count, per) =
                self.wishes.pick(&[(1, RatePeriod::Second), (5, RatePeriod::Second), (60, RatePeriod::Minute)]);
            let burst = self.wishes.pick(&[None, Some(1), Some(3)]);
            edit.rate_limit = Some(Some(RateLimit { count, per, burst }));
        }
        let failures = self.wishes.pick(&[0, 1, 2, 5]);
        let (lasting, probe_first) = self.wishes.pick(&[(0, 1), (0, 5), (20, 5)]);
        let is_fifo = self.wishes.chance(250);
        let drain = if is_fifo { Drain::OldestFirst } else { self.wishes.pick(&Drain::ALL) };
        edit.breaker = Some(Some(BreakerRule {
            failures,
            lasting: Duration::from_secs(lasting),
            probe_first: Duration::from_secs(probe_first),
            probe_max: Duration::from_secs(20),
            held_max: self.wishes.pick(&[None, None, None, Some(2), Some(6)]),
            held_for: self.wishes.pick(&[None, None, None, Some(Duration::from_secs(40))]),
            drain,
        }));
        edit.is_fifo = Some(is_fifo);
        if self.wishes.chance(250) {
            edit.event_types.get_or_insert_default().push("postrider.*".to_owned());
        }
    }

    fn draw_routes(&mut self) -> ChannelEdit {
        let patterns =
            self.dice.pick(&[&["*"][..], &["*"], &["*"], &["order.*"], &["order.*"], &["user.created", "ping"], &[]]);
        let filter = self.dice.chance(250).then(|| "amount >= 50".to_owned());
        ChannelEdit {
            event_types: Some(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()),
            filter: Some(filter),
            ..ChannelEdit::default()
        }
    }

    fn draw_digest(&mut self) -> DigestRule {
        DigestRule {
            is_enabled: self.dice.chance(900),
            window: Duration::from_secs(self.dice.pick(&[1, 5, 30, 120])),
            items_max: self.dice.pick(&[0, 1, 2, 3, 10]),
            immediate_from: None,
            group_by: self.dice.pick(&[None, None, Some("event.type"), Some("amount")]).map(ToOwned::to_owned),
        }
    }

    /// Takes note of a channel that was made.
    pub(crate) fn learn_channel(&mut self, live: &LiveChannel) {
        let receiver = live.config.text("url").and_then(crate::properties::receiver_of).unwrap_or(usize::MAX);
        let belief = ChannelBelief {
            tenant: live.channel.tenant,
            receiver,
            on_unknown: live.channel.settings.on_unknown,
            is_deleted: false,
            is_off: false,
            is_refused: false,
            throttled_until: None,
            changes: 0,
        };
        self.model.channels.insert(live.channel.id, belief);
    }

    /// More channels than one transaction fans out to, all of one tenant and one receiver.
    pub(crate) fn make_many_channels(&mut self) -> anyhow::Result<()> {
        let tenant = self.tenants[0];
        // It stays well: what is looked for here is the fan-out.
        let receiver = self.receivers.len();
        self.receivers.push(Mood::Healthy);
        let config = Secret::new(Value::from(config(receiver, "first")).to_string());
        let settings = ChannelSettings {
            time_to_live: Some(Duration::from_hours(1)),
            ..ChannelSettings::new("C".to_owned(), "webhook".to_owned(), config)
        };
        let pattern = domain::routing::Pattern::parse("*")?;
        let routes = vec![NewRoute { pattern, filter: None }];
        let now = domain::Clock::now(&*self.clock);
        let store = Arc::clone(&self.process.as_ref().expect("running").store);
        let mut tasks: Vec<Task<_>> = Vec::new();
        for _ in 0..MANY {
            let (settings, routes) = (settings.clone(), routes.clone());
            let new = store::directory::NewChannel { tenant, settings, derives_shard: true, routes };
            let store = Arc::clone(&store);
            let mut task: Task<_> = Box::pin(async move { store.create_channel(new, now).await });
            assert!(poll(&mut task).is_none(), "a write waits");
            tasks.push(task);
        }
        store.run_writes(None);
        drop(store);
        for mut task in tasks {
            poll(&mut task).expect("written")?;
        }
        // The registry reads them when it starts.
        self.die();
        self.start_process()?;
        let registry = Arc::clone(&self.process.as_ref().expect("running").registry);
        for live in registry.channels(tenant, ChannelId(0), usize::MAX) {
            if !self.model.channels.contains_key(&live.channel.id) {
                self.learn_channel(&live);
            }
        }
        Ok(())
    }

    /// An owner wants something.
    pub(crate) fn order(&mut self) {
        let order = match &self.owner.waiting {
            // It asks for what it is not sure of.
            Some(order) => order.clone(),
            None => self.draw_order(),
        };
        self.give(order);
    }

    /// Owners mend half of what is paused; the rest expires.
    pub(crate) fn order_in_peace(&mut self) {
        let Some(process) = &self.process else { return };
        let registry = Arc::clone(&process.registry);
        let channels: Vec<_> = self.model.channels.keys().copied().collect();
        if let Some(order) = self.owner.waiting.clone() {
            self.give(order);
        }
        for channel in channels {
            let is_paused = registry.channel(channel).is_some_and(|live| live.channel.pause.is_some());
            if is_paused && self.dice.chance(500) {
                let engine = self.engine();
                let Some(tenant) = self.prepare_for(&Order::Mend(channel)) else { continue };
                let edit = edit(&Order::Mend(channel), self.model.channels[&channel].receiver);
                let Some(process) = &mut self.process else { return };
                process.spawn(async move {
                    let result = engine.update_channel(tenant, channel, edit).await;
                    Done::Ordered(result.map(|_| Order::Mend(channel)).map_err(|error| (Order::Mend(channel), error)))
                });
            }
        }
    }

    fn draw_order(&mut self) -> Order {
        let channels: Vec<_> =
            self.model.channels.iter().filter(|(_, one)| !one.is_deleted).map(|(id, _)| *id).collect();
        if channels.is_empty() {
            return Order::Create;
        }
        let channel = channels[self.dice.position(channels.len())];
        match self.dice.between(0, 30) {
            0..=2 => Order::Off(channel),
            3..=6 => Order::On(channel),
            7 => Order::Delete(channel),
            8..=10 => Order::Mend(channel),
            11 => Order::Reroute(channel),
            12 => Order::Narrow(channel),
            13 => Order::Create,
            14..=17 => Order::Test(channel),
            18..=24 => Order::Look(State::Dead),
            25 => Order::Redrive(self.model.channels[&channel].tenant, None),
            26 => Order::Redrive(self.model.channels[&channel].tenant, Some(channel)),
            27 => {
                let to = self.dice.pick(&[Progress::Paused, Progress::Running, Progress::Running, Progress::Cancelled]);
                Order::Steer(self.model.channels[&channel].tenant, to)
            }
            28 => Order::Merge(channel),
            _ => Order::Look(State::Retrying),
        }
    }

    fn give(&mut self, order: Order) {
        if self.process.as_ref().is_none_or(|process| process.is_stopping) {
            self.after(300_000, Event::Order);
            return;
        }
        self.note(format_args!("order: {}", name(&order)));
        let draw = self.dice.number();
        let tenant = self.tenants[self.dice.position(self.tenants.len())];
        let mut made = matches!(order, Order::Create).then(|| self.draw_channel());
        let mut drawn = match order {
            Order::Reroute(_) => Some(self.draw_routes()),
            Order::Merge(_) => Some(ChannelEdit { digest: Some(Some(self.draw_digest())), ..ChannelEdit::default() }),
            _ => None,
        };
        let owner = self.prepare_for(&order);
        let receiver = channel_of(&order).and_then(|channel| self.model.channels.get(&channel)).map(|one| one.receiver);
        let engine = self.engine();
        if let Order::Retry(_, Some(delivery)) = order {
            self.model.retries(delivery);
        } else if let Order::Redrive(tenant, None) = order {
            self.model.redriving.insert(tenant);
        } else if is_change(&order) {
            self.owner.waiting = Some(order.clone());
        }
        let Some(process) = &mut self.process else { return };
        process.spawn(async move {
            let owner = owner.unwrap_or(tenant);
            let result = match &order {
                Order::Create => {
                    let (tenant, new) = made.take().expect("drawn above");
                    engine.create_channel(tenant, new).await.map(|shown| Order::Made(shown.live))
                }
                Order::Delete(channel) => engine.delete_channel(owner, *channel).await.map(|()| order.clone()),
                Order::Test(channel) => {
                    engine.test_channel(owner, *channel, ChannelTest::default()).await.map(|_| order.clone())
                }
                Order::Look(state) => {
                    let filter = DeliveryFilter { state: Some(*state), ..DeliveryFilter::newest(20) };
                    engine.deliveries(tenant, filter).await.map(|page| {
                        let found = page.rows;
                        let position = usize::try_from(draw % found.len().max(1) as u64).unwrap_or(0);
                        Order::Retry(tenant, found.get(position).map(|delivery| delivery.id))
                    })
                }
                Order::Retry(tenant, Some(delivery)) => {
                    engine.retry_delivery(*tenant, *delivery).await.map(|_| order.clone())
                }
                Order::Redrive(tenant, channel) => {
                    let source = if channel.is_some() { Source::History } else { Source::Dead };
                    let wanted = Wanted { channel: *channel, ..Wanted::default() };
                    let pace = Some(1 + u32::try_from(draw % 50).unwrap_or(0));
                    let begun = engine.begin_redrive(*tenant, RedriveRequest { source, wanted, pace }).await;
                    begun.map(|_| order.clone())
                }
                Order::Steer(tenant, to) => match engine.redrives(*tenant, None, 1).await {
                    Ok(newest) => match newest.first() {
                        Some(newest) => engine.steer_redrive(*tenant, newest.id, *to).await.map(|_| order.clone()),
                        None => Ok(order.clone()),
                    },
                    Err(error) => Err(error),
                },
                Order::Retry(_, None) | Order::Made(_) => Ok(order.clone()),
                Order::Off(channel)
                | Order::On(channel)
                | Order::Mend(channel)
                | Order::Reroute(channel)
                | Order::Narrow(channel)
                | Order::Merge(channel) => {
                    let edit = drawn.take().unwrap_or_else(|| edit(&order, receiver.unwrap_or(0)));
                    engine.update_channel(owner, *channel, edit).await.map(|_| order.clone())
                }
            };
            Done::Ordered(result.map_err(|error| (order, error)))
        });
    }

    /// What changes in the owner's mind when it asks; whose the channel is.
    fn prepare_for(&mut self, order: &Order) -> Option<TenantId> {
        let channel = channel_of(order)?;
        let belief = self.model.channels.get_mut(&channel)?;
        if !matches!(order, Order::Test(_)) {
            belief.changes += 1;
        }
        if matches!(order, Order::On(_) | Order::Mend(_)) {
            belief.is_refused = false;
            belief.throttled_until = None;
        }
        if matches!(order, Order::On(_)) {
            belief.is_off = false;
        }
        Some(belief.tenant)
    }

    pub(crate) fn ordered(&mut self, result: Result<Order, (Order, OpsError)>) {
        let checked = match result {
            Ok(Order::Retry(tenant, Some(delivery))) if !self.model.asked.remove(&delivery) => {
                // Found by a look: now it is asked for.
                self.model.asked.insert(delivery);
                self.give(Order::Retry(tenant, Some(delivery)));
                Ok(())
            }
            Ok(order) => {
                self.note(format_args!("done: {}", name(&order)));
                // Several are asked for at a time when commits are slow: one that is done late ends a pause as well.
                if let Order::On(channel) | Order::Mend(channel) = order
                    && let Some(belief) = self.model.channels.get_mut(&channel)
                {
                    belief.is_refused = false;
                }
                self.believe(&order);
                Ok(())
            }
            Err((order, OpsError::Unavailable(_))) => {
                if is_change(&order) {
                    self.after(100_000, Event::Order);
                } else {
                    self.believe(&order);
                }
                Ok(())
            }
            // It was asked for before, and was done.
            Err((order, OpsError::NotFound(_) | OpsError::Conflict(_))) => {
                self.note(format_args!("not to be done: {}", name(&order)));
                self.believe(&order);
                Ok(())
            }
            // Its channel was deleted meanwhile.
            Err((Order::Redrive(..), OpsError::Invalid(_))) => Ok(()),
            Err((order, error)) => Err(format!("{order:?} was refused: {error}")),
        };
        self.breaks(checked);
    }

    fn believe(&mut self, order: &Order) {
        if is_change(order) || matches!(order, Order::Made(_)) {
            self.owner.waiting = None;
        }
        match order {
            Order::Made(live) => self.learn_channel(live),
            Order::Off(channel) => self.change(*channel, |belief| belief.is_off = true),
            // Answers come in the order in which things are done.
            Order::On(channel) => self.change(*channel, |belief| belief.is_off = false),
            Order::Delete(channel) => self.change(*channel, |belief| belief.is_deleted = true),
            Order::Retry(_, Some(delivery)) => {
                self.model.asked.remove(delivery);
                self.model.retries(*delivery);
            }
            _ => {}
        }
    }

    fn change(&mut self, channel: ChannelId, change: impl FnOnce(&mut ChannelBelief)) {
        if let Some(belief) = self.model.channels.get_mut(&channel) {
            change(belief);
        }
    }

    /// The process is gone: owners ask again for what they are not sure of.
    pub(crate) fn lose_order(&mut self) {
        self.model.asked.clear();
        match &self.owner.waiting {
            Some(Order::Create) => self.owner.waiting = None,
            Some(_) => self.after(500_000, Event::Order),
            None => {}
        }
    }
}

fn is_change(order: &Order) -> bool {
    !matches!(order, Order::Test(_) | Order::Look(_) | Order::Retry(..) | Order::Redrive(..) | Order::Steer(..))
}

fn channel_of(order: &Order) -> Option<ChannelId> {
    match order {
        Order::Off(channel)
        | Order::On(channel)
        | Order::Delete(channel)
        | Order::Mend(channel)
        | Order::Reroute(channel)
        | Order::Narrow(channel)
        | Order::Merge(channel)
        | Order::Test(channel) => Some(*channel),
        Order::Create | Order::Made(_) | Order::Look(_) | Order::Retry(..) | Order::Redrive(..) | Order::Steer(..) => {
            None
        }
    }
}

fn name(order: &Order) -> String {
    match order {
        Order::Made(live) => format!("Made({})", live.channel.id),
        other => format!("{other:?}"),
    }
}

fn edit(order: &Order, receiver: usize) -> ChannelEdit {
    match order {
        Order::Off(_) => ChannelEdit { is_active: Some(false), ..ChannelEdit::default() },
        Order::On(_) => ChannelEdit { is_active: Some(true), ..ChannelEdit::default() },
        Order::Mend(_) => {
            ChannelEdit { config: Some(ConfigEdit::Patch(config(receiver, "mended"))), ..ChannelEdit::default() }
        }
        _ => ChannelEdit { concurrency: Some(1), ..ChannelEdit::default() },
    }
}

fn config(receiver: usize, path: &str) -> Map<String, Value> {
    Map::from_iter([("url".to_owned(), Value::from(format!("https://r{receiver}.example.com/{path}")))])
}
