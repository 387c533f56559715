//! Killed with SIGKILL in the middle of the work, again and again: nothing accepted is lost, and whatever may have been sent
//! without an answer is on record.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Accepted, Attempt, Client, Gate, Page, Receiver, Reply, Setup};

/// How much is posted, and how often the server is killed meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) events: usize,
    pub(crate) kills: usize,
}

/// Small, so that the bound on repeats means something.
const IN_FLIGHT_MAX: usize = 64;

/// Clients that post at a time.
const CLIENTS: usize = 8;

/// Channels, each at a path of its own; all events of type `load.{n}` go to the channel `n`, and those of `load.0` to
/// the last channel as well.
const CHANNELS: usize = 5;

/// A small generator of even numbers: the same seed gives the same test.
struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below a usize")
    }
}

/// Requests to post: single events and arrays, so many events in all.
fn requests(random: &mut Random, events: usize) -> Vec<Value> {
    let mut requests = Vec::new();
    let mut n = 0;
    while n < events {
        let size = if random.below(3) == 0 { 2 + random.below(60) } else { 1 };
        let end = (n + size).min(events);
        let event = |n: usize| json!({"type": format!("load.{}", n % (CHANNELS - 1)), "data": {"n": n}});
        let array: Vec<Value> = (n..end).map(event).collect();
        requests.push(if size == 1 { array[0].clone() } else { json!(array) });
        n = end;
    }
    requests
}

/// Posts a request; `None` when no 202 came, and then nobody knows whether it was kept.
async fn post(client: &Client, request: &Value) -> Option<Vec<Accepted>> {
    let answer = client.try_send(Method::POST, "/v1/events", &[], request.to_string()).await.ok()?;
    if answer.status != 202 || answer.body.is_empty() {
        return None;
    }
    Some(if request.is_array() { answer.read::<Page<Accepted>>(202).data } else { vec![answer.read(202)] })
}

/// What is to be posted, and what was answered with 202.
pub(crate) struct Load {
    pub(crate) waiting: Vec<Value>,
    pub(crate) accepted: Vec<Accepted>,
    /// Requests between two kills.
    share: usize,
    random: Random,
}

pub(crate) type Posts = JoinSet<(Option<Vec<Accepted>>, Value)>;

impl Load {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut random = Random(20_261_122);
        let waiting = requests(&mut random, plan.events);
        Self { share: waiting.len() / (plan.kills + 2), waiting, accepted: Vec::new(), random }
    }

    /// Posts until it is time for the next kill. Returns the posts that are still under way.
    pub(crate) async fn post_some(&mut self, client: &Client) -> Posts {
        let answers = self.share / 2 + self.random.below(self.share);
        let under_way = self.post(client, answers).await;
        assert!(!self.waiting.is_empty() || !under_way.is_empty(), "killed in the middle of the load");
        under_way
    }

    /// Posts what waits with several clients, until it is all kept or `answers` requests are. Returns the posts that
    /// are still under way.
    pub(crate) async fn post(&mut self, client: &Client, answers: usize) -> Posts {
        let mut posts = JoinSet::new();
        let mut answered = 0;
        while answered < answers {
            while posts.len() < CLIENTS
                && let Some(request) = self.waiting.pop()
            {
                let client = client.clone();
                posts.spawn(async move { (post(&client, &request).await, request) });
            }
            let Some(result) = posts.join_next().await else { break };
            answered += usize::from(self.take(result.expect("no panic")));
        }
        posts
    }

    /// Waits for posts that were under way when the server was killed.
    pub(crate) async fn collect(&mut self, posts: Posts) {
        for result in posts.join_all().await {
            self.take(result);
        }
    }

    /// What got no 202 is posted again.
    fn take(&mut self, (kept, request): (Option<Vec<Accepted>>, Value)) -> bool {
        let is_kept = kept.is_some();
        match kept {
            Some(kept) => self.accepted.extend(kept),
            None => self.waiting.push(request),
        }
        is_kept
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_however_often_it_is_killed() {
    kill_again_and_again(Setup::new(), Plan { events: 20_000, kills: 6 }).await;
}

/// Kills the server in the middle of a load as often as the plan says, and counts at the receiver.
pub(crate) async fn kill_again_and_again(setup: Setup, plan: Plan) {
    let setup = setup.set("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", &IN_FLIGHT_MAX.to_string());
    let receiver = Receiver::start().await;
    let mut load = Load::new(plan);
    let mut server = setup.start().await;
    make_channels(&server.client, &receiver).await;

    for _ in 0..plan.kills {
        let under_way = load.post_some(&server.client).await;
        server.kill().await;
        load.collect(under_way).await;
        server = setup.start().await;
    }
    load.post(&server.client, usize::MAX).await;

    assert_eq!(load.accepted.len(), plan.events);
    let total = check_arrivals(&receiver, &load.accepted, IN_FLIGHT_MAX * plan.kills).await;
    check_records(&server.client, &receiver, plan.kills).await;
    assert!(server.stop().await.success());
    assert_eq!(receiver.total(), total, "something was sent after everything had arrived");
}

/// The channels of a load.
pub(crate) async fn make_channels(client: &Client, receiver: &Receiver) {
    for n in 0..CHANNELS {
        let types = if n == CHANNELS - 1 { json!(["load.0"]) } else { json!([format!("load.{n}")]) };
        client.webhook(&receiver.url(&format!("/{n}")), json!({"event_types": types})).await;
    }
}

/// Waits until every delivery of an answer has arrived, and counts the repeats. Returns how many requests there were.
pub(crate) async fn check_arrivals(receiver: &Receiver, accepted: &[Accepted], repeats_max: usize) -> usize {
    let mut missing = usize::MAX;
    let mut seen = BTreeMap::new();
    while missing > 0 {
        seen = arrivals(receiver);
        missing = accepted.iter().flat_map(|one| &one.deliveries).filter(|made| !seen.contains_key(&made.id)).count();
        // Each that is missing is a request to come.
        receiver.wait_for_total(receiver.total().max(seen.values().sum::<usize>() + missing)).await;
    }
    let repeats: usize = seen.values().map(|count| count - 1).sum();
    assert!(repeats <= repeats_max, "{repeats} repeats");
    seen.values().sum()
}

/// Every repeat at the receiver is explained by an attempt that nobody knows the end of. There may be more of these: a send
/// that was cut off before it arrived.
async fn check_records(client: &Client, receiver: &Receiver, kills: usize) {
    let mut unknown: BTreeMap<i64, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/attempts?status=unknown&limit=200{cursor}");
        let page = client.get(&path).await.read::<Page<Attempt>>(200);
        for attempt in page.data {
            assert_eq!(attempt.code, None);
            assert!(attempt.reason.is_some_and(|reason| reason.contains("the process ended")), "{}", attempt.id);
            *unknown.entry(attempt.delivery_id).or_default() += 1;
        }
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    for (delivery, arrived) in arrivals(receiver) {
        let on_record = unknown.get(&delivery).copied().unwrap_or(0);
        assert!(arrived <= 1 + on_record, "delivery {delivery} arrived {arrived} times; unknown attempts: {on_record}");
    }
    let on_record: usize = unknown.values().sum();
    assert!((1..=IN_FLIGHT_MAX * kills).contains(&on_record), "{on_record} unknown attempts after {kills} kills");
}

/// How often each delivery has arrived, by its number.
fn arrivals(receiver: &Receiver) -> BTreeMap<i64, usize> {
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    let mut bodies = BTreeMap::new();
    for received in (0..CHANNELS).flat_map(|n| receiver.received(&format!("/{n}"))) {
        let id: i64 = received.id().rsplit('_').next().expect("a number").parse().expect("a number");
        *seen.entry(id).or_default() += 1;
        let first = bodies.entry(id).or_insert_with(|| received.clone());
        assert_eq!((first.id(), &first.body), (received.id(), &received.body), "a repeat is the same message");
    }
    seen
}

#[tokio::test]
async fn a_send_that_was_cut_off_is_on_record_and_repeated_only_where_that_is_wanted() {
    let setup = Setup::new();
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let server = setup.start().await;
    for (path, on_unknown) in [("/again", "retry"), ("/once", "give_up")] {
        receiver.script(path, [Reply::status(200).behind(&gate)]);
        server.client.webhook(&receiver.url(path), json!({"on_unknown": on_unknown})).await;
    }
    let made = server.client.accept(&json!({"type": "a", "data": {}})).await.deliveries;
    for path in ["/again", "/once"] {
        receiver.wait_for_one(path).await;
    }
    server.kill().await;

    let server = setup.start().await;
    let (again, once) = (made[0].id, made[1].id);
    assert_eq!(server.client.delivery_once(again, "sent").await.attempts, 2);
    let attempts = server.client.attempts(again).await;
    let seen: Vec<_> = attempts.iter().map(|one| (one.number, one.status.as_str(), one.code)).collect();
    assert_eq!(seen, [(1, "unknown", None), (2, "delivered", Some(200))]);
    let [first, second] = receiver.wait_for("/again", 2).await.try_into().expect("two");
    assert_eq!((first.id(), &first.body), (second.id(), &second.body));

    let dead = server.client.delivery_once(once, "dead").await;
    assert!(dead.reason.expect("a reason").contains("it may have been taken"));
    assert_eq!(server.client.attempts(once).await.len(), 1);
    assert_eq!(receiver.count("/once"), 1);
}

#[tokio::test]
async fn a_large_fan_out_goes_on_after_a_kill() {
    const RECEIVERS: usize = 1_500;
    let setup = Setup::new();
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    for n in 0..RECEIVERS {
        server.client.webhook(&receiver.url(&format!("/{n}")), json!({})).await;
    }
    let accepted = server.client.accept(&json!({"type": "a", "data": {}})).await;
    assert_eq!((accepted.deliveries.len(), accepted.expanding), (1000, 500));
    server.kill().await;

    let server = setup.start().await;
    for n in 0..RECEIVERS {
        receiver.wait_for_one(&format!("/{n}")).await;
    }
    let event = server.client.event(&accepted.id).await;
    assert_eq!((event.deliveries_total, event.expanding), (RECEIVERS, 0));
    assert!(receiver.total() <= RECEIVERS + 512, "repeats are what was under way");
}
