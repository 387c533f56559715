//! Ten thousand messages at once, to services that count: all arrive, and no window is ever breached.

use std::time::Duration;

use serde_json::{Value, json};
use sim::burst::{Burst, BurstReport, Destination, send};

const MESSAGES: usize = 10_000;

fn to(provider: &'static str, config: Value) -> Destination {
    let Value::Object(config) = config else { panic!("a config is an object: {config}") };
    Destination { provider, config, concurrency: None }
}

fn slack(number: usize) -> Destination {
    to("slack", json!({"webhook_url": format!("https://hooks.slack.com/services/T1/B{number}/s")}))
}

/// Ten numbers in a row are webhooks of the same chat.
fn discord(number: usize) -> Destination {
    to("discord", json!({"webhook_url": format!("https://discord.com/api/webhooks/{number}/token")}))
}

fn telegram(bot: usize, chat: i64) -> Destination {
    to("telegram", json!({"bot_token": format!("{bot}:token"), "chat_id": chat}))
}

fn connector(number: usize) -> Destination {
    let url =
        format!("https://prod-1.westeurope.logic.azure.com/workflows/{number}/triggers/manual/paths/invoke?sig=s");
    to("microsoft_teams", json!({"webhook_url": url}))
}

fn google_chat(space: usize, key: usize) -> Destination {
    let url = format!("https://chat.googleapis.com/v1/spaces/S{space}/messages?key=k{key}&token=t");
    to("google_chat", json!({"webhook_url": url}))
}

fn x(app: usize, user: usize) -> Destination {
    let config = json!({"consumer_key": format!("app{app}"), "consumer_secret": "s",
        "access_token": format!("user{user}"), "access_token_secret": "s"});
    to("x", config)
}

/// Sends, and holds that everything arrived once and nobody was sent too much.
fn check(burst: &Burst) -> BurstReport {
    let report = send(burst).unwrap();
    assert_eq!((report.sent, report.taken), (burst.messages as u64, burst.messages));
    assert_eq!(report.breaches, []);
    report
}

/// The same, where nothing but the windows stands in the way.
fn check_smooth(destinations: Vec<Destination>, messages: usize, hours_max: u64) {
    let report = check(&Burst { seed: 1, destinations, messages, ..Burst::default() });
    assert!(report.refused.is_empty(), "nobody has a reason to refuse anything: {:?}", report.refused.first());
    let took = report.ended.values().max().unwrap();
    assert!(*took < Duration::from_hours(hours_max), "the rates are used: {took:?}");
}

#[test]
fn telegram_counts_by_chat_group_and_bot() {
    let mut destinations: Vec<_> = (1..=40).map(|chat| telegram(1, chat)).collect();
    destinations.extend((1..=10).map(|group| telegram(2, -group)));
    // Two channels with one group, and a chat that two bots write to.
    destinations.extend([telegram(2, -1), telegram(2, 7)]);
    check_smooth(destinations, MESSAGES, 1);
}

#[test]
fn discord_counts_by_webhook_and_by_the_address_that_sends() {
    check_smooth((1..=80).map(|number| discord(number * 10)).collect(), MESSAGES, 2);
}

#[test]
fn slack_counts_by_webhook_whatever_channel_it_belongs_to() {
    check_smooth((0..20).map(|number| slack(number % 15)).collect(), MESSAGES, 1);
}

#[test]
fn teams_counts_in_windows_up_to_a_day() {
    check_smooth((0..5).map(connector).collect(), MESSAGES, 30);
}

#[test]
fn google_chat_counts_by_space_whoever_writes_to_it() {
    check_smooth((0..20).map(|number| google_chat(number / 2, number)).collect(), MESSAGES, 2);
}

#[test]
fn x_counts_by_user_and_by_app() {
    check_smooth((0..40).map(|number| x(0, number)).collect(), MESSAGES + 200, 25);
}

/// How many refusals any ten minutes hold.
fn most_in_ten_minutes(refused: &[Duration]) -> usize {
    let since = |at: &Duration| at.saturating_sub(Duration::from_secs(600));
    let within = |(place, at): (usize, &Duration)| place + 1 - refused.partition_point(|one| *one <= since(at));
    refused.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn discord_buckets_are_learnt_from_its_answers() {
    // Three in ten seconds: stricter than anybody knows of before. One request at a time meets no refusal at all.
    let bucket = Some((3, Duration::from_secs(10)));
    let one_by_one = (1..=50).map(|number| Destination { concurrency: Some(1), ..discord(number * 10) }).collect();
    let report = check(&Burst { seed: 2, destinations: one_by_one, messages: MESSAGES, bucket, ..Burst::default() });
    assert!(report.refused.is_empty(), "{:?}", report.refused.first());

    // Several at a time learn by refusals, and stay far below the ten thousand for which Discord bans an address.
    let destinations = (1..=50).map(|number| discord(number * 10)).collect();
    let report = check(&Burst { seed: 3, destinations, messages: MESSAGES / 5, bucket, ..Burst::default() });
    let most = most_in_ten_minutes(&report.refused);
    assert!((1..5_000).contains(&most), "{most} refusals in ten minutes");
}

#[test]
fn a_refusal_out_of_the_blue_is_waited_out_and_costs_nothing() {
    let destinations = vec![telegram(1, 1), telegram(1, 2), telegram(2, -3), slack(1), slack(2), discord(10)];
    let report = check(&Burst { seed: 4, destinations, messages: 1_200, surprise_every: Some(50), ..Burst::default() });
    assert!(report.refused.len() >= 20, "{}", report.refused.len());
}

#[test]
fn services_do_not_wait_for_each_other() {
    let mixed = || {
        let mut destinations: Vec<_> = (1..=10).map(|chat| telegram(1, chat)).collect();
        destinations.extend((1..=10).map(|chat| telegram(2, -chat)));
        destinations.extend((0..10).map(slack));
        destinations.extend((1..=10).map(|number| discord(number * 10)));
        destinations.extend((0..10).map(|number| google_chat(number, number)));
        destinations
    };
    let alone = check(&Burst { seed: 5, destinations: mixed(), messages: MESSAGES, ..Burst::default() });
    // The same ones, and beside them what takes a day.
    let mut destinations = mixed();
    destinations.extend((0..50).map(|number| if number < 25 { connector(number) } else { x(0, number) }));
    let beside = check(&Burst { seed: 5, destinations, messages: MESSAGES * 2, ..Burst::default() });
    for (provider, ended) in alone.ended {
        let later = beside.ended[provider];
        assert!(later < ended * 6 / 5, "{provider} was done after {ended:?}, and beside slow ones after {later:?}");
    }
}
