//! No tenant and no channel holds up another: who waits behind whom, and for how many starts.

use proptest::prelude::*;

use super::*;

/// Nobody is held back by the share of slow channels before it has answered once.
const SLOTS: usize = 64;

fn lanes() -> Lanes<i64> {
    Lanes::new(Bounds { unsettled_max: SLOTS, lane_items_max: 200_000, buffered_bytes_max: 1 << 30, ..BOUNDS }, NOW)
}

/// Deliveries that a channel has waiting, on lanes that are driven by what their receivers take.
struct Flow {
    lanes: Lanes<i64>,
    now: Timestamp,
    next: i64,
    /// How long the receiver of each channel takes.
    took_ms: BTreeMap<ChannelId, u64>,
    under_way: BTreeSet<(Timestamp, ChannelId, DeliveryId)>,
    /// The channel of each start, in order.
    started: Vec<ChannelId>,
}

impl Flow {
    fn new() -> Self {
        Self {
            lanes: lanes(),
            now: NOW,
            next: 1,
            took_ms: BTreeMap::new(),
            under_way: BTreeSet::new(),
            started: Vec::new(),
        }
    }

    fn open(&mut self, tenant: i64, channel: i64, concurrency: u32, took_ms: u64) {
        self.lanes.open(ChannelId(channel), &rules(tenant, concurrency), self.now);
        self.took_ms.insert(ChannelId(channel), took_ms);
    }

    fn accept(&mut self, channel: i64, deliveries: usize) {
        for _ in 0..deliveries {
            let ready = Ready { delivery: DeliveryId(self.next), bytes: 1, item: self.next };
            self.lanes.arrive(ChannelId(channel), ready, self.now);
            self.next += 1;
        }
    }

    fn start_all(&mut self) {
        self.lanes.advance(self.now);
        while let Some(start) = self.lanes.start_next(self.now) {
            let took = Duration::from_millis(self.took_ms[&start.channel]);
            self.under_way.insert((self.now.after(took), start.channel, start.delivery));
            self.started.push(start.channel);
        }
    }

    /// Lets so many answers come.
    fn run(&mut self, answers: usize) {
        self.start_all();
        for _ in 0..answers {
            let Some((at, channel, delivery)) = self.under_way.pop_first() else { return };
            self.now = at;
            let took = Duration::from_millis(self.took_ms[&channel]);
            self.lanes.answered(channel, Answer { requests: 1, took }, at);
            self.lanes.settled(channel, delivery, None, at);
            self.start_all();
        }
    }

    fn held(&self, channels: std::ops::RangeInclusive<i64>) -> usize {
        channels.map(|channel| self.lanes.in_flight(ChannelId(channel))).sum()
    }
}

#[test]
fn a_backlog_of_a_hundred_thousand_delays_nobody_elses_fresh_event() {
    let mut flow = Flow::new();
    // One tenant with 100 channels and everything that waits, and 20 others that are idle.
    for channel in 1..=100 {
        flow.open(1, channel, 8, 20);
        flow.accept(channel, 1_000);
    }
    for tenant in 2..=21 {
        flow.open(tenant, 1_000 + tenant, 8, 20);
    }
    flow.run(5_000);
    assert_eq!(flow.held(1..=100), SLOTS, "it has all slots while nobody else wants one");
    // All others have something at the same moment: each of them is among the next starts.
    let before = flow.started.len();
    (2..=21).for_each(|tenant| flow.accept(1_000 + tenant, 1));
    flow.run(20);
    let next: BTreeSet<_> = flow.started[before..before + 20].iter().map(|channel| channel.0).collect();
    assert_eq!(next, (1_002..=1_021).collect(), "{next:?}");
}

#[test]
fn a_channel_with_a_backlog_delays_no_other_of_its_tenant() {
    let mut flow = Flow::new();
    for channel in 1..=20 {
        flow.open(1, channel, 8, 900);
        flow.accept(channel, 5_000);
    }
    flow.open(1, 99, 8, 10);
    flow.run(1_000);
    let before = flow.started.len();
    flow.accept(99, 1);
    flow.run(1);
    assert_eq!(flow.started[before], ChannelId(99));
}

#[test]
fn tenants_share_the_time_of_slots_and_not_the_count_of_starts() {
    let mut flow = Flow::new();
    // Receivers of the first take 90 times as long, and are not slow enough for the share of the slow.
    for channel in 1..=20 {
        flow.open(1, channel, 8, 900);
        flow.open(2, 100 + channel, 8, 10);
        flow.accept(channel, 10_000);
        flow.accept(100 + channel, 10_000);
    }
    flow.run(20_000);
    assert_eq!((flow.held(1..=20), flow.held(101..=120)), (SLOTS / 2, SLOTS / 2));
    let before = flow.started.len();
    flow.run(20_000);
    let quick = flow.started[before..].iter().filter(|channel| channel.0 > 100).count();
    assert!(quick > 19_000, "{quick} of 20000: taking turns, it would be half");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Slow channels never hold more than their half, and a quick one waits beside no free slot.
    #[test]
    fn shares_hold_whatever_the_receivers_do(
        channels in prop::collection::vec((1i64..5, 1u32..12, prop::sample::select(vec![5u64, 40, 300, 900, 3_000])), 1..30),
        answers in 200usize..3_000,
    ) {
        let mut flow = Flow::new();
        for (number, (tenant, concurrency, took_ms)) in (1..).zip(&channels) {
            flow.open(*tenant, number, *concurrency, *took_ms);
            flow.accept(number, 3_000);
        }
        flow.run(answers);
        let is_slow = |number: i64| flow.took_ms[&ChannelId(number)] > 1_000;
        let slow: usize = (1..).zip(&channels).filter(|(number, _)| is_slow(*number)).map(|(number, _)| flow.held(number..=number)).sum();
        prop_assert!(slow <= SLOTS / 2, "slow channels hold {slow}");
        for (number, (_, concurrency, _)) in (1..).zip(&channels) {
            let (held, started) = (flow.held(number..=number), flow.started.iter().filter(|one| one.0 == number).count());
            let is_known_as_quick = !is_slow(number) && started > held;
            let is_kept_back = started < 3_000 && held < *concurrency as usize;
            prop_assert!(!is_known_as_quick || !is_kept_back || flow.lanes.unsettled() == SLOTS, "channel {number} waits");
        }
    }
}
