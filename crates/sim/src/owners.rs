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

use crate::dice::Dice;
use crate::mail;
use crate::model::{ChannelBelief, Hearing};
use crate::oracle::{AMOUNT_MIN, RouteWish};
use crate::process::{Task, poll};
use crate::properties::receiver_of;
use crate::receivers::{Mood, Receiver};
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
    Reroute(ChannelId, RouteWish),
    Narrow(ChannelId),
    /// Another way to merge deliveries.
    Merge(ChannelId),
    Create,
    /// It was made; what it is, and what its owner wants it to hear of.
    Made(Arc<LiveChannel>, RouteWish),
    /// What the platform does with a tenant.
    Suspend(TenantId),
    Resume(TenantId),
    DeleteTenant(TenantId),
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
    fn draw_channel(&mut self, dice: &mut Dice) -> (NewChannel, RouteWish) {
        let receiver = self.new_receiver(dice);
        let is_mail = dice.chance(200);
        let wish = draw_routes(dice);
        let mut edit = route_edit(wish);
        let waits = dice.pick(&[&[][..], &[], &[1], &[1, 5, 30], &[2, 2, 2, 2, 2, 60, 300]]);
        let schedule = Schedule::new(waits.iter().map(|seconds| Duration::from_secs(*seconds)).collect());
        edit.retry = Some(Some(schedule.expect("a schedule")));
        edit.time_to_live = Some(Some(Duration::from_secs(dice.pick(&[600, 1_800, 7_200]))));
        edit.concurrency = Some(dice.pick(&[1, 1, 2, 8]));
        edit.on_unknown = Some(dice.pick(&[OnUnknown::Retry, OnUnknown::Retry, OnUnknown::GiveUp]));
        limit(&mut edit, dice);
        edit.digest = dice.chance(350).then(|| Some(draw_digest(dice)));
        edit.body_template = is_mail.then(|| Some(mail::BODY_TEMPLATE.to_owned()));
        let new = NewChannel {
            name: "C".to_owned(),
            provider: if is_mail { "email" } else { "webhook" }.to_owned(),
            config: if is_mail { mail::config(receiver) } else { config(receiver, "first") },
            edit,
            dialect: None,
            is_managed: false,
        };
        (new, wish)
    }

    /// Makes a channel before anything can go wrong.
    pub(crate) fn make_channel(&mut self, tenant: TenantId, dice: &mut Dice) -> anyhow::Result<()> {
        let (new, wish) = self.draw_channel(dice);
        let engine = self.engine();
        let shown = self.drive(async move { engine.create_channel(tenant, new).await })?;
        self.learn_channel(&shown.live, Some(wish));
        Ok(())
    }

    /// Takes note of a channel that was made.
    pub(crate) fn learn_channel(&mut self, live: &LiveChannel, routes: Option<RouteWish>) {
        let place = live.config.text("url").or(live.config.text("smtp_host"));
        let receiver = place.and_then(receiver_of).unwrap_or(usize::MAX);
        let belief = ChannelBelief {
            tenant: live.channel.tenant,
            receiver,
            on_unknown: live.channel.settings.on_unknown,
            steps: if live.channel.settings.provider == "email" { mail::RECIPIENTS } else { 1 },
            is_deleted: false,
            is_off: false,
            is_refused: false,
            throttled_until: None,
            changes: 0,
            hearing: Hearing { routes, asking: 0, is_doubtful: false },
        };
        self.model.channels.insert(live.channel.id, belief);
    }

    /// More channels than one transaction fans out to, all of one tenant and one receiver.
    pub(crate) fn make_many_channels(&mut self) -> anyhow::Result<()> {
        let Some(tenant) = self.tenants.first().copied() else { return Ok(()) };
        // It stays well: what is looked for here is the fan-out.
        let receiver = self.receivers.len();
        self.receivers.push(Receiver { mood: Mood::Healthy, dice: self.dice.fork() });
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
                self.learn_channel(&live, None);
            }
        }
        Ok(())
    }

    /// An owner wants something.
    pub(crate) fn order(&mut self, mut dice: Dice) {
        let order = match &self.owner.waiting {
            // It asks for what it is not sure of.
            Some(order) => order.clone(),
            None => self.draw_order(&mut dice),
        };
        self.give(order, dice);
    }

    /// Owners mend half of what is paused, the rest expires; and no tenant stays suspended.
    pub(crate) fn order_in_peace(&mut self) {
        let Some(process) = &self.process else { return };
        let registry = Arc::clone(&process.registry);
        let channels: Vec<_> = self.model.channels.keys().copied().collect();
        if let Some(order) = self.owner.waiting.clone() {
            let dice = self.dice.fork();
            self.give(order, dice);
        }
        for tenant in self.tenants.clone() {
            if self.model.may_be_suspended(tenant) {
                self.spawn_order(Order::Resume(tenant), Dice::of(&[]));
            }
        }
        for channel in channels {
            let is_paused = registry.channel(channel).is_some_and(|live| live.channel.pause.is_some());
            if is_paused && self.dice.chance(500) {
                self.spawn_order(Order::Mend(channel), Dice::of(&[]));
            }
        }
    }

    fn draw_order(&mut self, dice: &mut Dice) -> Order {
        let is_there = |one: &ChannelBelief| !one.is_deleted && !self.model.leaving.contains(&one.tenant);
        let channels: Vec<_> = self.model.channels.iter().filter(|(_, one)| is_there(one)).map(|(id, _)| *id).collect();
        if channels.is_empty() {
            return Order::Create;
        }
        let channel = channels[dice.position(channels.len())];
        let tenant = self.model.channels[&channel].tenant;
        match dice.between(0, 34) {
            0..=2 => Order::Off(channel),
            3..=6 => Order::On(channel),
            7 => Order::Delete(channel),
            8..=10 => Order::Mend(channel),
            11 => Order::Reroute(channel, draw_routes(dice)),
            12 => Order::Narrow(channel),
            13 => Order::Create,
            14..=17 => Order::Test(channel),
            18..=24 => Order::Look(State::Dead),
            25 => Order::Redrive(tenant, None),
            26 => Order::Redrive(tenant, Some(channel)),
            27 => {
                let to = dice.pick(&[Progress::Paused, Progress::Running, Progress::Running, Progress::Cancelled]);
                Order::Steer(tenant, to)
            }
            28 => Order::Merge(channel),
            31 => Order::Suspend(tenant),
            32 | 33 => Order::Resume(tenant),
            // Somebody stays, or there is nothing to see any more.
            34 if tenant != self.tenants[0] && dice.chance(400) => Order::DeleteTenant(tenant),
            _ => Order::Look(State::Retrying),
        }
    }

    fn give(&mut self, order: Order, mut dice: Dice) {
        if self.process.as_ref().is_none_or(|process| process.is_stopping) {
            self.after(300_000, Event::Order(dice.fork()));
            return;
        }
        if let Order::Retry(_, Some(delivery)) = order {
            self.model.retries(delivery);
        } else if is_change(&order) {
            self.owner.waiting = Some(order.clone());
        }
        self.spawn_order(order, dice);
    }

    fn spawn_order(&mut self, order: Order, mut dice: Dice) {
        self.note(format_args!("order: {}", name(&order)));
        let draw = dice.number();
        let present: Vec<_> = self.tenants.iter().filter(|one| !self.model.leaving.contains(one)).copied().collect();
        let Some(tenant) = present.get(dice.position(present.len().max(1))).copied() else { return };
        let made = matches!(order, Order::Create).then(|| self.draw_channel(&mut dice));
        let merges = ChannelEdit { digest: Some(Some(draw_digest(&mut dice))), ..ChannelEdit::default() };
        let owner = self.prepare_for(&order).unwrap_or(tenant);
        let belief = channel_of(&order).and_then(|channel| self.model.channels.get(&channel));
        let edit = edit(&order, belief);
        let engine = self.engine();
        let Some(process) = &mut self.process else { return };
        process.spawn(async move {
            let result = match &order {
                Order::Create => {
                    let (new, wish) = made.expect("drawn above");
                    engine.create_channel(tenant, new).await.map(|shown| Order::Made(shown.live, wish))
                }
                Order::Delete(channel) => engine.delete_channel(owner, *channel).await.map(|()| order.clone()),
                Order::Suspend(tenant) => engine.suspend_tenant(*tenant).await.map(|_| order.clone()),
                Order::Resume(tenant) => engine.resume_tenant(*tenant).await.map(|_| order.clone()),
                Order::DeleteTenant(tenant) => engine.delete_tenant(*tenant).await.map(|()| order.clone()),
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
                Order::Retry(_, None) | Order::Made(..) => Ok(order.clone()),
                Order::Merge(channel) => engine.update_channel(owner, *channel, merges).await.map(|_| order.clone()),
                Order::Off(channel)
                | Order::On(channel)
                | Order::Mend(channel)
                | Order::Reroute(channel, _)
                | Order::Narrow(channel) => engine.update_channel(owner, *channel, edit).await.map(|_| order.clone()),
            };
            Done::Ordered(result.map_err(|error| (order, error)))
        });
    }

    /// What changes in the owner's mind when it asks; whose the channel is.
    fn prepare_for(&mut self, order: &Order) -> Option<TenantId> {
        match order {
            Order::Suspend(tenant) => self.model.suspension_asked(*tenant),
            Order::Resume(tenant) => self.model.resumption_asked(*tenant),
            Order::DeleteTenant(tenant) => drop(self.model.leaving.insert(*tenant)),
            _ => {}
        }
        let channel = channel_of(order)?;
        let belief = self.model.channels.get_mut(&channel)?;
        if !matches!(order, Order::Test(_)) {
            belief.changes += 1;
        }
        belief.hearing.asking += u32::from(changes_hearing(order));
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
        let (order, is_known) = match &result {
            Ok(order) => (order, true),
            Err((order, error)) => (order, !matches!(error, OpsError::Unavailable(_))),
        };
        if let Some(belief) = channel_of(order).and_then(|channel| self.model.channels.get_mut(&channel))
            && changes_hearing(order)
        {
            belief.hearing.asking = belief.hearing.asking.saturating_sub(1);
            belief.hearing.is_doubtful = !is_known;
        }
        let checked = match result {
            Ok(Order::Retry(tenant, Some(delivery))) if !self.model.asked.remove(&delivery) => {
                // Found by a look: now it is asked for.
                self.model.asked.insert(delivery);
                let dice = self.dice.fork();
                self.give(Order::Retry(tenant, Some(delivery)), dice);
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
                    let dice = self.dice.fork();
                    self.after(100_000, Event::Order(dice));
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
            // Its tenant is leaving.
            Err((order, _)) if self.tenant_of(&order).is_some_and(|tenant| self.model.leaving.contains(&tenant)) => {
                self.believe(&order);
                Ok(())
            }
            Err((order, error)) => Err(format!("{order:?} was refused: {error}")),
        };
        self.breaks(checked);
    }

    fn believe(&mut self, order: &Order) {
        if is_change(order) || matches!(order, Order::Made(..)) {
            self.owner.waiting = None;
        }
        match order {
            Order::Made(live, wish) => self.learn_channel(live, Some(*wish)),
            Order::Reroute(channel, wish) => self.change(*channel, |belief| belief.hearing.routes = Some(*wish)),
            Order::Suspend(tenant) => self.model.suspended(*tenant),
            Order::Resume(tenant) => self.model.resumed(*tenant),
            Order::DeleteTenant(tenant) => self.model.gone(*tenant),
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

    fn tenant_of(&self, order: &Order) -> Option<TenantId> {
        match order {
            Order::Retry(tenant, _)
            | Order::Redrive(tenant, _)
            | Order::Steer(tenant, _)
            | Order::Suspend(tenant)
            | Order::Resume(tenant)
            | Order::DeleteTenant(tenant) => Some(*tenant),
            _ => self.model.channels.get(&channel_of(order)?).map(|belief| belief.tenant),
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
            Some(_) => {
                let dice = self.dice.fork();
                self.after(500_000, Event::Order(dice));
            }
            None => {}
        }
    }
}

fn is_change(order: &Order) -> bool {
    !matches!(order, Order::Test(_) | Order::Look(_) | Order::Retry(..) | Order::Redrive(..) | Order::Steer(..))
}

/// Whether it changes what a channel hears of.
fn changes_hearing(order: &Order) -> bool {
    matches!(order, Order::Off(_) | Order::On(_) | Order::Delete(_) | Order::Reroute(..))
}

fn channel_of(order: &Order) -> Option<ChannelId> {
    match order {
        Order::Off(channel)
        | Order::On(channel)
        | Order::Delete(channel)
        | Order::Mend(channel)
        | Order::Reroute(channel, _)
        | Order::Narrow(channel)
        | Order::Merge(channel)
        | Order::Test(channel) => Some(*channel),
        Order::Create
        | Order::Made(..)
        | Order::Look(_)
        | Order::Retry(..)
        | Order::Redrive(..)
        | Order::Steer(..)
        | Order::Suspend(_)
        | Order::Resume(_)
        | Order::DeleteTenant(_) => None,
    }
}

fn name(order: &Order) -> String {
    match order {
        Order::Made(live, _) => format!("Made({})", live.channel.id),
        other => format!("{other:?}"),
    }
}

/// Some owners limit the rate of a channel, and some want what it gets in order.
fn limit(edit: &mut ChannelEdit, dice: &mut Dice) {
    if dice.chance(300) {
        let (count, per) = dice.pick(&[(1, RatePeriod::Second), (5, RatePeriod::Second), (60, RatePeriod::Minute)]);
        let burst = dice.pick(&[None, Some(1), Some(3)]);
        edit.rate_limit = Some(Some(RateLimit { count, per, burst }));
    }
    let failures = dice.pick(&[0, 1, 2, 5]);
    let (lasting, probe_first) = dice.pick(&[(0, 1), (0, 5), (20, 5)]);
    let is_fifo = dice.chance(250);
    let drain = if is_fifo { Drain::OldestFirst } else { dice.pick(&Drain::ALL) };
    edit.breaker = Some(Some(BreakerRule {
        failures,
        lasting: Duration::from_secs(lasting),
        probe_first: Duration::from_secs(probe_first),
        probe_max: Duration::from_secs(20),
        held_max: dice.pick(&[None, None, None, Some(2), Some(6)]),
        held_for: dice.pick(&[None, None, None, Some(Duration::from_secs(40))]),
        drain,
    }));
    edit.is_fifo = Some(is_fifo);
    if dice.chance(250) {
        edit.event_types.get_or_insert_default().push("postrider.*".to_owned());
    }
}

fn draw_routes(dice: &mut Dice) -> RouteWish {
    let patterns = dice.pick(&[&["*"][..], &["*"], &["*"], &["order.*"], &["order.*"], &["user.created", "ping"], &[]]);
    RouteWish { patterns, is_filtered: dice.chance(250) }
}

fn route_edit(wish: RouteWish) -> ChannelEdit {
    ChannelEdit {
        event_types: Some(wish.patterns.iter().map(|pattern| (*pattern).to_owned()).collect()),
        filter: Some(wish.is_filtered.then(|| format!("amount >= {AMOUNT_MIN}"))),
        ..ChannelEdit::default()
    }
}

fn draw_digest(dice: &mut Dice) -> DigestRule {
    DigestRule {
        is_enabled: dice.chance(900),
        window: Duration::from_secs(dice.pick(&[1, 5, 30, 120])),
        items_max: dice.pick(&[0, 1, 2, 3, 10]),
        immediate_from: None,
        group_by: dice.pick(&[None, None, Some("event.type"), Some("amount")]).map(ToOwned::to_owned),
    }
}

fn edit(order: &Order, belief: Option<&ChannelBelief>) -> ChannelEdit {
    match order {
        Order::Off(_) => ChannelEdit { is_active: Some(false), ..ChannelEdit::default() },
        Order::On(_) => ChannelEdit { is_active: Some(true), ..ChannelEdit::default() },
        Order::Mend(_) => {
            let is_mail = belief.is_some_and(|belief| belief.steps > 1);
            let receiver = belief.map_or(0, |belief| belief.receiver);
            let patch = if is_mail { mail::mended() } else { config(receiver, "mended") };
            ChannelEdit { config: Some(ConfigEdit::Patch(patch)), ..ChannelEdit::default() }
        }
        Order::Reroute(_, wish) => route_edit(*wish),
        _ => ChannelEdit { concurrency: Some(1), ..ChannelEdit::default() },
    }
}

pub(crate) fn config(receiver: usize, path: &str) -> Map<String, Value> {
    Map::from_iter([("url".to_owned(), Value::from(format!("https://r{receiver}.example.com/{path}")))])
}
