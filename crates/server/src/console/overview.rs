//! The one page: what needs attention, the sums of a day, the last deliveries.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::delivery::{Delivery, State as DeliveryState};
use domain::tenant::Tenant;
use domain::{ChannelId, TenantId, Timestamp};
use engine::Engine;
use engine::ops::{Attention, DeliveryFilter, OpsError, Span, StatsQuery, StatsShown, WaitingShown};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::page::{self, answer, time};
use super::session::Visitor;
use super::sign_in;
use crate::http::client::Client;

/// How many deliveries are shown.
const DELIVERIES_MAX: usize = 100;

/// How many channels are listed under each heading; the rest is counted.
const CHANNELS_MAX: usize = 50;

/// How many tenants a platform key may choose from; others are named in the address.
const TENANTS_MAX: usize = 200;

const HEADINGS: [&str; 6] = ["Time", "Event", "Type", "Channel", "State", "Why"];

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    tenant: Option<String>,
}

pub(super) async fn show(
    State(console): State<Console>,
    Extension(client): Extension<Client>,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Response {
    let engine = &console.engine;
    let Some(visitor) = console.sessions.visitor(engine, &headers) else {
        return Redirect::to(sign_in::PATH).into_response();
    };
    let tenants = tenants_of(engine, &visitor);
    let named = choice.tenant.as_deref().and_then(|slug| engine.tenant(slug));
    let own = named.filter(|tenant| visitor.key.tenant.is_none_or(|own| own == tenant.id));
    let chosen = match (&choice.tenant, own) {
        (_, Some(tenant)) => tenant,
        (None, None) if !tenants.is_empty() => tenants[0].clone(),
        (_, None) => return nothing(StatusCode::NOT_FOUND, "There is no such tenant."),
    };
    match Overview::of(engine, chosen).await {
        Ok(overview) => {
            let shown = overview.show(&tenants, visitor.key.tenant.is_none(), &client);
            answer(StatusCode::OK, &page::whole(&overview.tenant.name, &shown))
        }
        Err(error) => {
            tracing::warn!(%error, "the console could not be shown");
            nothing(StatusCode::SERVICE_UNAVAILABLE, "The database cannot be read now. Try again later.")
        }
    }
}

fn nothing(status: StatusCode, why: &str) -> Response {
    let body = html! {
        header { h1 { "Postrider" } }
        main.narrow {
            p.alert role="alert" { (why) }
            p { a href="/console" { "Back to the console" } }
        }
    };
    answer(status, &page::whole("Nothing here", &body))
}

/// Those that the visitor may look at; for a tenant's key its own.
fn tenants_of(engine: &Engine, visitor: &Visitor) -> Vec<Tenant> {
    let Some(own) = visitor.key.tenant else { return engine.tenants(None, TenantId(0), TENANTS_MAX) };
    let before = TenantId(own.0 - 1);
    engine.tenants(None, before, 1).into_iter().filter(|tenant| tenant.id == own).collect()
}

/// Everything that the page shows.
struct Overview {
    tenant: Tenant,
    now: Timestamp,
    attention: Attention,
    stats: StatsShown,
    deliveries: Vec<Delivery>,
    names: BTreeMap<ChannelId, String>,
}

impl Overview {
    async fn of(engine: &Engine, tenant: Tenant) -> Result<Self, OpsError> {
        let now = engine.clock().now();
        let since = Timestamp::from_ms(now.as_ms() - DAY_MS);
        let latest = DeliveryFilter {
            channel: None,
            state: None,
            event_types: None,
            event: None,
            created: Span::default(),
            text: None,
            before: None,
            rows_max: DELIVERIES_MAX,
        };
        let deliveries = engine.deliveries(tenant.id, latest).await?.rows;
        let attention = engine.attention(tenant.id).await?;
        let stats = engine.stats(tenant.id, StatsQuery { since, channel: None, event_types: None }).await?;
        let mut names = BTreeMap::new();
        for channel in deliveries.iter().map(|delivery| delivery.channel) {
            // A channel that was deleted keeps its number.
            if let Ok(shown) = engine.channel(tenant.id, channel) {
                names.insert(channel, shown.live.channel.settings.name.clone());
            }
        }
        Ok(Self { tenant, now, attention, stats, deliveries, names })
    }

    fn show(&self, tenants: &[Tenant], chooses: bool, client: &Client) -> Markup {
        html! {
            header {
                h1 { "Postrider" }
                p.quiet { (client.host) }
                form method="post" action="/console/sign-out" { button.plain type="submit" { "Sign out" } }
            }
            main {
                div.title {
                    h2 { (self.tenant.name) }
                    p.quiet { "As of " (time(self.now)) " UTC · " a href=(self.here()) { "Refresh" } }
                }
                @if chooses && tenants.len() > 1 { (self.choice(tenants)) }
                (self.attention())
                (self.totals())
                (self.latest())
            }
        }
    }

    fn here(&self) -> String {
        format!("/console?tenant={}", self.tenant.slug)
    }

    /// A link to the JSON behind something.
    fn json(&self, path: &str) -> String {
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("/v1/{path}{sign}tenant={}", self.tenant.slug)
    }

    fn choice(&self, tenants: &[Tenant]) -> Markup {
        html! {
            form.choice method="get" action="/console" {
                label for="tenant" { "Tenant" }
                select #tenant name="tenant" {
                    @for tenant in tenants {
                        option value=(tenant.slug) selected[tenant.id == self.tenant.id] {
                            (tenant.name) " (" (tenant.slug) ")"
                        }
                    }
                }
                button.plain type="submit" { "Show" }
            }
        }
    }

    fn attention(&self) -> Markup {
        let Attention { paused, failing, dead } = &self.attention;
        html! {
            section aria-labelledby="attention" {
                h3 #attention { "Needs attention" }
                @if paused.is_empty() && failing.is_empty() && *dead == 0 { p.good { "Nothing: all is well." } }
                @else {
                    ul.cards {
                        @for channel in paused.iter().take(CHANNELS_MAX) {
                            li.bad {
                                strong { (channel.name) }
                                " is paused since " (time(channel.pause.since)) ": " (channel.pause.reason) ". "
                                (count(channel.held, "delivery is", "deliveries are")) " held. "
                                a href=(self.json(&format!("channels/{}", channel.id))) { "Channel as JSON" }
                            }
                        }
                        @for channel in failing.iter().take(CHANNELS_MAX) {
                            li.warning {
                                strong { (channel.name) } " is failing: "
                                (count(channel.retrying, "delivery waits", "deliveries wait")) " for another attempt. "
                                a href=(self.json(&format!("attempts?channel_id={}", channel.id))) { "Attempts as JSON" }
                            }
                        }
                        @if *dead > 0 {
                            li.bad {
                                (count(*dead, "delivery has", "deliveries have")) " given up. "
                                a href=(self.json("deliveries?status=dead")) { "Dead letters as JSON" }
                            }
                        }
                    }
                    @let more = paused.len().saturating_sub(CHANNELS_MAX) + failing.len().saturating_sub(CHANNELS_MAX);
                    @if more > 0 { p.quiet { "And " (more) " more channels." } }
                }
            }
        }
    }

    fn totals(&self) -> Markup {
        let stats = &self.stats;
        let day = [
            ("Events", stats.events.unwrap_or_default()),
            ("Sent", stats.sent),
            ("Failed attempts", stats.failed_attempts),
        ];
        let over = [("Cancelled", stats.cancelled), ("Expired", stats.expired)];
        let sum = |of: fn(&WaitingShown) -> u64| stats.waiting.as_ref().map_or(0, of);
        let now = [
            ("Pending", sum(|waiting| waiting.pending)),
            ("Retrying", sum(|waiting| waiting.retrying)),
            ("Held", sum(|waiting| waiting.held)),
            ("Dead", sum(|waiting| waiting.dead)),
        ];
        let list = |sums: &[(&str, u64)]| {
            html! { dl { @for (name, sum) in sums { div { dt { (name) } dd { (sum) } } } } }
        };
        html! {
            section aria-labelledby="totals" {
                h3 #totals { "Last 24 hours" }
                (list(&[&day[..], &over[..]].concat()))
                h3 { "Now" }
                (list(&now))
                p.quiet { a href=(self.json("stats")) { "Sums as JSON" } }
            }
        }
    }

    fn latest(&self) -> Markup {
        html! {
            section aria-labelledby="latest" {
                h3 #latest { "Last " (DELIVERIES_MAX) " deliveries" }
                @if self.deliveries.is_empty() { p.quiet { "There is none yet. POST /v1/events sends a first one." } }
                @else {
                    table {
                        thead { tr { @for heading in HEADINGS { th scope="col" { (heading) } } } }
                        tbody { @for delivery in &self.deliveries { (self.row(delivery)) } }
                    }
                    p.quiet { a href=(self.json("deliveries")) { "Deliveries as JSON" } }
                }
            }
        }
    }

    fn row(&self, delivery: &Delivery) -> Markup {
        let event = delivery.event.public();
        let name = self.names.get(&delivery.channel).map_or("deleted", String::as_str);
        html! {
            tr {
                td data-label="Time" { (time(delivery.created_at)) }
                td data-label="Event" { a href=(self.json(&format!("events/{event}"))) { (event) } }
                td data-label="Type" { (delivery.event_type) }
                // One element in each cell: where there is no room, a cell is a grid of its label and it.
                td data-label="Channel" { span { (name) " " span.quiet { "#" (delivery.channel) } } }
                td data-label="State" {
                    a.state.(tone(delivery.state)) href=(self.json(&format!("deliveries/{}", delivery.id))) {
                        (delivery.state.name())
                    }
                }
                td data-label="Why" {
                    span {
                        (delivery.reason) " " span.quiet {
                            (delivery.code.name())
                            @if let Some(digest) = delivery.digest { ", digest " (digest) }
                        }
                    }
                }
            }
        }
    }
}

fn tone(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Sent => "good",
        DeliveryState::Dead => "bad",
        DeliveryState::Retrying | DeliveryState::Held | DeliveryState::Expired => "warning",
        DeliveryState::Pending | DeliveryState::Processing | DeliveryState::Cancelled => "calm",
    }
}

/// A number with the words that go with it.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
