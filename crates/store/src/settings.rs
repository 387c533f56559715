//! What settings of channels and tenants and descriptions of event types look like in a column: JSON, the same in every
//! backend.
//!
//! A value that this version cannot read counts as not given, so that a row written by hand stops no start.

use std::time::Duration;

use domain::ReasonCode;
use domain::breaker::{BreakerRule, Drain};
use domain::channel::{DigestRule, RateLimit, RatePeriod};
use domain::delivery::State;
use domain::event::Severity;
use domain::event_type::{Variable, VariableGroup, VariableKind};
use domain::quotas::{Quota, Quotas};
use domain::schedule::Schedule;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::directory::NewTenant;

pub(crate) fn as_ms(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

/// The code of a reason; rows from before reasons had codes have none.
pub(crate) fn read_code(code: Option<String>, otherwise: ReasonCode) -> ReasonCode {
    code.and_then(|code| ReasonCode::parse(&code)).unwrap_or(otherwise)
}

/// The code of a delivery that is over. What was sent needs none to be written down.
pub(crate) fn code_of(state: State, code: Option<String>) -> ReasonCode {
    read_code(code, if state == State::Sent { ReasonCode::Delivered } else { ReasonCode::ReasonNotKept })
}

/// The waits of a schedule in milliseconds.
pub(crate) fn retry_json(schedule: &Schedule) -> String {
    let waits: Vec<i64> = schedule.waits().iter().map(|wait| as_ms(*wait)).collect();
    json!(waits).to_string()
}

pub(crate) fn read_retry(json: &str) -> Option<Schedule> {
    let waits: Vec<u64> = serde_json::from_str(json).ok()?;
    Schedule::new(waits.into_iter().map(Duration::from_millis).collect()).ok()
}

pub(crate) fn rate_limit_json(limit: &RateLimit) -> String {
    json!({"count": limit.count, "per": limit.per.name(), "burst": limit.burst}).to_string()
}

pub(crate) fn read_rate_limit(json: &str) -> Option<RateLimit> {
    let value: Value = serde_json::from_str(json).ok()?;
    Some(RateLimit {
        count: number(&value["count"])?,
        per: RatePeriod::parse(value["per"].as_str()?)?,
        burst: number(&value["burst"]),
    })
}

pub(crate) fn breaker_json(rule: &BreakerRule) -> String {
    json!({
        "failures": rule.failures,
        "lasting_ms": as_ms(rule.lasting),
        "probe_first_ms": as_ms(rule.probe_first),
        "probe_max_ms": as_ms(rule.probe_max),
        "held_max": rule.held_max,
        "held_ms": rule.held_for.map(as_ms),
        "drain": rule.drain.name(),
    })
    .to_string()
}

pub(crate) fn read_breaker(json: &str) -> Option<BreakerRule> {
    let value: Value = serde_json::from_str(json).ok()?;
    let time = |name: &str| value[name].as_u64().map(Duration::from_millis);
    Some(BreakerRule {
        failures: number(&value["failures"])?,
        lasting: time("lasting_ms")?,
        probe_first: time("probe_first_ms")?,
        probe_max: time("probe_max_ms")?,
        held_max: number(&value["held_max"]),
        held_for: time("held_ms"),
        drain: value["drain"].as_str().and_then(Drain::parse).unwrap_or_default(),
    })
}

pub(crate) fn digest_json(rule: &DigestRule) -> String {
    json!({
        "is_enabled": rule.is_enabled,
        "window_ms": as_ms(rule.window),
        "items_max": rule.items_max,
        "immediate_from": rule.immediate_from.map(Severity::name),
        "group_by": rule.group_by,
    })
    .to_string()
}

pub(crate) fn read_digest(json: &str) -> Option<DigestRule> {
    let value: Value = serde_json::from_str(json).ok()?;
    Some(DigestRule {
        is_enabled: value["is_enabled"].as_bool()?,
        window: Duration::from_millis(value["window_ms"].as_u64()?),
        items_max: number(&value["items_max"])?,
        immediate_from: value["immediate_from"].as_str().and_then(Severity::parse),
        group_by: value["group_by"].as_str().map(ToOwned::to_owned),
    })
}

/// What the settings of a tenant change by: a merge patch, which leaves what it does not name.
pub(crate) fn tenant_patch_json(tenant: &NewTenant) -> String {
    // Each quota by name: null removes it.
    let quotas: serde_json::Map<String, Value> =
        Quota::ALL.iter().map(|quota| (quota.name().to_owned(), json!(tenant.quotas.get(*quota)))).collect();
    json!({"providers": tenant.providers, "quotas": quotas}).to_string()
}

/// The quotas in the settings of a tenant.
pub(crate) fn read_quotas(json: &str) -> Quotas {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let set = |quotas: Quotas, quota: Quota| quotas.with(quota, value["quotas"][quota.name()].as_u64());
    Quota::ALL.into_iter().fold(Quotas::default(), set)
}

/// The list of providers in the settings of a tenant.
pub(crate) fn read_providers(json: &str) -> Option<Vec<String>> {
    let value: Value = serde_json::from_str(json).ok()?;
    let names = value["providers"].as_array()?.iter().filter_map(Value::as_str);
    Some(names.map(ToOwned::to_owned).collect())
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// A group as its row holds it.
#[derive(Serialize, Deserialize)]
struct GroupRow {
    name: String,
    variables: Vec<VariableRow>,
}

#[derive(Serialize, Deserialize)]
struct VariableRow {
    key: String,
    description: String,
    #[serde(rename = "type")]
    kind: String,
    example: String,
}

pub(crate) fn groups_json(groups: &[VariableGroup]) -> String {
    let variable = |variable: &Variable| VariableRow {
        key: variable.key.clone(),
        description: variable.description.clone(),
        kind: variable.kind.name().to_owned(),
        example: variable.example.clone(),
    };
    let group = |group: &VariableGroup| GroupRow {
        name: group.name.clone(),
        variables: group.variables.iter().map(variable).collect(),
    };
    let rows: Vec<_> = groups.iter().map(group).collect();
    serde_json::to_string(&rows).expect("texts are JSON")
}

/// A kind that this version does not know is shown as a text.
pub(crate) fn read_groups(json: &str) -> Vec<VariableGroup> {
    let rows: Vec<GroupRow> = serde_json::from_str(json).unwrap_or_default();
    let variable = |row: VariableRow| Variable {
        key: row.key,
        description: row.description,
        kind: VariableKind::parse(&row.kind).unwrap_or(VariableKind::String),
        example: row.example,
    };
    let group =
        |row: GroupRow| VariableGroup { name: row.name, variables: row.variables.into_iter().map(variable).collect() };
    rows.into_iter().map(group).collect()
}
