//! Who is in a world that begins with a backlog, and what waits for them.

use std::time::Duration;

use domain::breaker::BreakerRule;
use domain::schedule::Schedule;
use domain::{ChannelId, Clock as _, TenantId};
use engine::ops::{ChannelEdit, NewChannel, TenantEdit};
use store::sqlite::backlog::{Backlog as Template, ID_MARK, PastDelivery, PastEvent};

use crate::faults::Fault;
use crate::oracle::RouteWish;
use crate::owners;
use crate::receivers::{Mood, Receiver};
use crate::world::World;

/// How long everything lives: longer than anything here takes.
const LIVES: Duration = Duration::from_hours(24);

/// How long a round of the backlog took to come. All of a million come within some minutes, over the end of a day.
const EVERY: Duration = Duration::from_millis(20);

/// Half a kilobyte, as texts of notifications are.
const TEXT_BYTES: usize = 400;

/// One tenant: how many of its events are in a round of the backlog, and how its receivers are.
struct Household {
    events: usize,
    receivers: &'static [(Mood, Kind)],
}

/// How a channel is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    InOrder,
    /// It trips, and is probed.
    Tripping,
}

use Kind::{InOrder, Plain, Tripping};

/// Most of what waits is the first one's, and half of its receivers are in trouble. The last one has nothing that waits.
const HOUSEHOLDS: [Household; 4] = [
    Household {
        events: 3,
        receivers: &[
            (Mood::Healthy, Plain),
            (Mood::Healthy, InOrder),
            (Mood::Healthy, Plain),
            (Mood::Healthy, Plain),
            (Mood::Always(Fault::Silent), Tripping),
            (Mood::Always(Fault::Refused), Tripping),
            (Mood::Always(Fault::ThrottledWithHint), Plain),
            (Mood::Always(Fault::Slow), Plain),
            (Mood::Always(Fault::ServerError), Plain),
            (Mood::Always(Fault::DroppedAnswer), Plain),
            (Mood::Mixed, Plain),
            (Mood::Mixed, InOrder),
        ],
    },
    Household {
        events: 2,
        receivers: &[
            (Mood::Healthy, Plain),
            (Mood::Always(Fault::Throttled), Plain),
            (Mood::Mixed, InOrder),
            (Mood::Healthy, Plain),
        ],
    },
    Household { events: 3, receivers: &[(Mood::Healthy, Plain), (Mood::Mixed, Plain)] },
    Household { events: 0, receivers: &[(Mood::Healthy, Plain)] },
];

/// Of the backlog's deliveries those that were tried already, by tenant, event and channel: how often, and when they are due
/// again. Never one of a channel in order, where only the oldest is tried.
const TRIED: [(usize, usize, usize, u32, Duration); 5] = [
    (0, 0, 0, 1, Duration::from_secs(2)),
    (0, 1, 8, 2, Duration::from_secs(2)),
    (0, 2, 3, 1, Duration::from_hours(6)),
    (1, 0, 0, 1, LATER),
    (2, 1, 0, 1, Duration::from_secs(2)),
];

/// A moment after the process begins with a million: the oldest of these are due while the world is looked at.
const LATER: Duration = Duration::from_secs(406);

pub(super) struct Inhabitants {
    tenants: Vec<(TenantId, Vec<ChannelId>)>,
    /// It has no backlog.
    pub newcomer: TenantId,
}

impl Inhabitants {
    /// Makes them, before anything can go wrong.
    pub(super) fn move_in(world: &mut World) -> anyhow::Result<Self> {
        let mut tenants = Vec::new();
        for (place, household) in HOUSEHOLDS.iter().enumerate() {
            let engine = world.engine();
            let slug = format!("t{place}");
            let tenant = world.drive(async move { engine.put_tenant(&slug, TenantEdit::named("T")).await })?.id;
            world.tenants.push(tenant);
            let mut channels = Vec::new();
            for (mood, kind) in household.receivers {
                let receiver = world.receivers.len();
                let dice = world.dice.fork();
                world.receivers.push(Receiver { mood: *mood, dice });
                let new = new_channel(receiver, *kind)?;
                let engine = world.engine();
                let live = world.drive(async move { engine.create_channel(tenant, new).await })?.live;
                world.learn_channel(&live, Some(RouteWish { patterns: &["*"], is_filtered: false }));
                channels.push(live.channel.id);
            }
            tenants.push((tenant, channels));
        }
        let newcomer = tenants[HOUSEHOLDS.len() - 1].0;
        Ok(Self { tenants, newcomer })
    }

    /// Those that have a backlog.
    pub(super) fn burdened(&self) -> impl Iterator<Item = TenantId> {
        self.tenants.iter().map(|(tenant, _)| *tenant).filter(|tenant| *tenant != self.newcomer)
    }

    /// What waits for them: so many deliveries, at least.
    pub(super) fn template(&self, world: &World, deliveries: u64) -> Template {
        let households = HOUSEHOLDS.iter().zip(&self.tenants).enumerate();
        let events = households.flat_map(|(tenant_place, (household, (tenant, channels)))| {
            (0..household.events).map(move |event_place| PastEvent {
                tenant: *tenant,
                event_type: "order.paid".to_owned(),
                data: format!(r#"{{"n":{ID_MARK},"text":"{}"}}"#, "x".repeat(TEXT_BYTES)),
                deliveries: (channels.iter().enumerate())
                    .map(|(place, channel)| past_delivery(*channel, (tenant_place, event_place, place)))
                    .collect(),
            })
        });
        let template = Template {
            events: events.collect(),
            rounds: 1,
            began_at: world.clock.now(),
            every: EVERY,
            segment_rows_max: world.scenario.segment_rows_max,
        };
        let each = u64::try_from(template.deliveries()).unwrap_or(u64::MAX);
        Template { rounds: i64::try_from(deliveries.div_ceil(each)).unwrap_or(i64::MAX), ..template }
    }
}

fn past_delivery(channel: ChannelId, place: (usize, usize, usize)) -> PastDelivery {
    let tried = TRIED.iter().find(|(tenant, event, channel, ..)| (*tenant, *event, *channel) == place);
    let (tries, due_after) = tried.map_or((0, Duration::ZERO), |(.., tries, due_after)| (*tries, *due_after));
    PastDelivery { channel, lives: LIVES, tries, due_after }
}

fn new_channel(receiver: usize, kind: Kind) -> anyhow::Result<NewChannel> {
    let never = BreakerRule { failures: 0, ..BreakerRule::default() };
    let soon = BreakerRule {
        failures: 5,
        lasting: Duration::ZERO,
        probe_first: Duration::from_secs(2),
        ..BreakerRule::default()
    };
    Ok(NewChannel {
        name: "C".to_owned(),
        provider: "webhook".to_owned(),
        config: owners::config(receiver, "first"),
        edit: ChannelEdit {
            event_types: Some(vec!["*".to_owned()]),
            time_to_live: Some(Some(LIVES)),
            retry: Some(Some(Schedule::new([1, 2, 4].map(Duration::from_secs).to_vec())?)),
            breaker: Some(Some(if kind == Tripping { soon } else { never })),
            is_fifo: Some(kind == InOrder),
            ..ChannelEdit::default()
        },
        dialect: None,
        is_managed: false,
    })
}
