//! The rules of a channel that are objects of their own: its retries, its rate limit, its digests.

use std::time::Duration;

use domain::breaker::{BreakerRule, Drain, Trip};
use domain::channel::{DigestRule, OnUnknown, RateLimit, RatePeriod};
use domain::event::Severity;
use domain::schedule::Schedule;
use engine::registry::LiveChannel;
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;

/// Reads what a merge patch gives: null clears.
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a merge patch")]
pub(super) fn read_option<T, R>(
    given: Option<Option<T>>,
    read: impl FnOnce(T) -> Result<R, Problem>,
) -> Result<Option<Option<R>>, Problem> {
    given.map(|given| given.map(read).transpose()).transpose()
}

/// A retry schedule: the waits between attempts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryIn)]
pub(super) struct RetryIn {
    /// Parts of a second are allowed. None at all: a single attempt.
    delays_seconds: Vec<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
pub(super) struct RetryOut {
    delays_seconds: Vec<f64>,
}

impl RetryIn {
    pub(super) fn read(self) -> Result<Schedule, Problem> {
        let wrong = |message: String| Problem::invalid_field("retry.delays_seconds", message);
        let wait = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).map_err(|_| wrong("must hold numbers of at least 0".to_owned()))
        };
        let waits = self.delays_seconds.into_iter().map(wait).collect::<Result<_, _>>()?;
        Schedule::new(waits).map_err(|error| wrong(error.to_string()))
    }
}

impl From<&Schedule> for RetryOut {
    fn from(schedule: &Schedule) -> Self {
        Self { delays_seconds: schedule.waits().iter().map(Duration::as_secs_f64).collect() }
    }
}

/// When a channel that fails is tripped, and how it comes back. What is left out is as usual.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BreakerIn)]
pub(super) struct BreakerIn {
    /// So many deliveries in a row have failed; 0: never.
    failures: Option<u32>,
    /// For so long, at least.
    lasting_seconds: Option<f64>,
    /// The wait before the first probe; it doubles with each one that fails.
    probe_seconds: Option<f64>,
    probe_max_seconds: Option<f64>,
    /// Deliveries that it holds while it fails or is paused; what is beyond expires, the oldest first. Left out: what the
    /// server says.
    held_max: Option<u32>,
    /// How old what it holds may get; left out: what the server says.
    held_seconds: Option<f64>,
    /// In which order what was held is sent.
    drain: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Breaker)]
pub(super) struct BreakerOut {
    failures: u32,
    lasting_seconds: f64,
    probe_seconds: f64,
    probe_max_seconds: f64,
    held_max: u64,
    /// Null: as old as deliveries live.
    held_seconds: Option<f64>,
    drain: &'static str,
}

/// That a channel fails and holds its deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trip)]
pub(super) struct TripOut {
    reason_code: &'static str,
    reason: String,
    since: String,
    /// When one of its deliveries is tried to see whether it works again.
    next_probe_at: String,
}

impl BreakerIn {
    pub(super) fn read(self) -> Result<BreakerRule, Problem> {
        let usual = BreakerRule::default();
        let time = |field: &str, given: Option<f64>, usual: Duration| {
            let wrong = |_| Problem::invalid_field(&format!("breaker.{field}"), "must be at least 0");
            given.map_or(Ok(usual), |seconds| Duration::try_from_secs_f64(seconds).map_err(wrong))
        };
        let probe_first = time("probe_seconds", self.probe_seconds, usual.probe_first)?;
        let held_for =
            self.held_seconds.map(|seconds| time("held_seconds", Some(seconds), Duration::ZERO)).transpose()?;
        Ok(BreakerRule {
            failures: self.failures.unwrap_or(usual.failures),
            lasting: time("lasting_seconds", self.lasting_seconds, usual.lasting)?,
            probe_first,
            probe_max: time("probe_max_seconds", self.probe_max_seconds, usual.probe_max.max(probe_first))?,
            held_max: self.held_max,
            held_for,
            drain: self.drain.as_deref().map_or(Ok(usual.drain), read_drain)?,
        })
    }
}

fn read_drain(text: &str) -> Result<Drain, Problem> {
    let names = Drain::ALL.map(Drain::name).join(", ");
    Drain::parse(text).ok_or_else(|| Problem::invalid_field("breaker.drain", format!("must be one of {names}")))
}

impl From<&LiveChannel> for BreakerOut {
    fn from(live: &LiveChannel) -> Self {
        let rule = live.channel.settings.breaker.unwrap_or_default();
        Self {
            failures: rule.failures,
            lasting_seconds: rule.lasting.as_secs_f64(),
            probe_seconds: rule.probe_first.as_secs_f64(),
            probe_max_seconds: rule.probe_max.as_secs_f64(),
            held_max: live.held_max,
            held_seconds: live.held_for.map(|age| age.as_secs_f64()),
            drain: rule.drain.name(),
        }
    }
}

impl From<Trip> for TripOut {
    fn from(trip: Trip) -> Self {
        Self {
            reason_code: trip.code.name(),
            reason: trip.reason,
            since: rfc3339(trip.since),
            next_probe_at: rfc3339(trip.probe_at),
        }
    }
}

/// How fast messages may go. What is beyond waits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RateLimitIn)]
pub(super) struct RateLimitIn {
    count: u32,
    per: String,
    /// Messages that may go at once after a pause; one period's worth when left out.
    burst: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateLimit)]
pub(super) struct RateLimitOut {
    count: u32,
    per: &'static str,
    burst: Option<u32>,
}

impl RateLimitIn {
    pub(super) fn read(self) -> Result<RateLimit, Problem> {
        let names = RatePeriod::ALL.map(RatePeriod::name).join(", ");
        let per = RatePeriod::parse(&self.per)
            .ok_or_else(|| Problem::invalid_field("rate_limit.per", format!("must be one of {names}")))?;
        Ok(RateLimit { count: self.count, per, burst: self.burst })
    }
}

impl From<RateLimit> for RateLimitOut {
    fn from(limit: RateLimit) -> Self {
        Self { count: limit.count, per: limit.per.name(), burst: limit.burst }
    }
}

/// Several deliveries merged in one message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DigestIn)]
pub(super) struct DigestIn {
    /// How long a digest collects from its first delivery on; 0 merges nothing.
    window_seconds: u64,
    /// A digest with so many goes at once; 0 for as many as can be.
    #[serde(default)]
    max_items: u32,
    /// Events at least so grave go at once, by themselves.
    immediate_severity: Option<String>,
    /// An expression over the event: each value of it has a digest of its own.
    group_by: Option<String>,
    #[serde(default = "enabled")]
    enabled: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Digest)]
pub(super) struct DigestOut {
    window_seconds: u64,
    max_items: u32,
    immediate_severity: Option<&'static str>,
    group_by: Option<String>,
    enabled: bool,
}

const fn enabled() -> bool {
    true
}

impl DigestIn {
    pub(super) fn read(self) -> Result<DigestRule, Problem> {
        let read = |text: String| {
            let names = Severity::ALL.map(Severity::name).join(", ");
            let wrong = || Problem::invalid_field("digest.immediate_severity", format!("must be one of {names}"));
            Severity::parse(&text).ok_or_else(wrong)
        };
        Ok(DigestRule {
            is_enabled: self.enabled,
            window: Duration::from_secs(self.window_seconds),
            items_max: self.max_items,
            immediate_from: self.immediate_severity.map(read).transpose()?,
            group_by: self.group_by,
        })
    }
}

impl From<&DigestRule> for DigestOut {
    fn from(rule: &DigestRule) -> Self {
        Self {
            window_seconds: rule.window.as_secs(),
            max_items: rule.items_max,
            immediate_severity: rule.immediate_from.map(Severity::name),
            group_by: rule.group_by.clone(),
            enabled: rule.is_enabled,
        }
    }
}

pub(super) fn read_on_unknown(text: &str) -> Result<OnUnknown, Problem> {
    let names = OnUnknown::ALL.map(OnUnknown::name).join(" or ");
    OnUnknown::parse(text).ok_or_else(|| Problem::invalid_field("on_unknown", format!("must be {names}")))
}
