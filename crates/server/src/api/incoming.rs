//! Events as they come in: Postrider's own JSON, and CloudEvents 1.0 in its JSON format, single or in batches.
//!
//! CloudEvents are told by their media type, or by their `specversion` where the media type says nothing. Of their
//! attributes `type`, `time`, `data` and the extensions `severity` and `traceparent` are kept; `source` and `id` together are the
//! idempotency key, as the specification says that they name an event. Other attributes are not kept.

use bytes::Bytes;
use domain::event::Severity;
use domain::{ChannelId, TenantId, Timestamp, TraceContext};
use engine::accept::EventIn;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use providers::message::parse_rfc3339;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::App;
use super::extract::parse;
use super::problem::Problem;
use crate::auth::Acting;

/// The longest `source` and `id` of a CloudEvent, in bytes.
const CLOUD_NAME_BYTES_MAX: usize = 2048;

pub(super) const CLOUD_EVENT: &str = "application/cloudevents+json";
pub(super) const CLOUD_BATCH: &str = "application/cloudevents-batch+json";

/// The events of one request.
pub(super) struct Incoming {
    /// Whose key covers the whole request.
    pub(super) tenant: TenantId,
    pub(super) events: Vec<EventIn>,
    /// Answered with a list, and fields are named with their position.
    pub(super) is_list: bool,
}

/// Reads the events of a request, whatever format they are in.
pub(super) fn read(
    engine: &App,
    acting: Acting,
    trace: Option<TraceContext>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Incoming, Problem> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let has_header_key = headers.contains_key("idempotency-key");
    let is_list = body.trim_ascii_start().first() == Some(&b'[');
    let traced = |mut event: EventIn| {
        event.trace = event.trace.or(trace);
        event
    };
    let cloud = |wire: CloudWire, prefix: &str| wire.read(engine, acting, prefix, has_header_key).map(traced);
    let native = |wire: EventWire, prefix: &str| wire.read(engine, acting, prefix).map(traced);
    let events = if media.eq_ignore_ascii_case(CLOUD_EVENT) && is_list {
        return Err(Problem::malformed(format!("{CLOUD_EVENT} is a single event; send an array as {CLOUD_BATCH}")));
    } else if media.eq_ignore_ascii_case(CLOUD_BATCH) && !is_list {
        return Err(Problem::malformed(format!("{CLOUD_BATCH} is an array; send a single event as {CLOUD_EVENT}")));
    } else if media.eq_ignore_ascii_case(CLOUD_EVENT) || media.eq_ignore_ascii_case(CLOUD_BATCH) {
        read_all(body, is_list, cloud)
    } else {
        // Only what cannot be read as our own is looked at again.
        match read_all(body, is_list, native) {
            Err(_) if is_cloud(body, is_list) => read_all(body, is_list, cloud),
            read => read,
        }
    }?;
    let tenant = match acting {
        Acting::Tenant(tenant) | Acting::PlatformFor(tenant) => tenant,
        // An empty list is refused by its length, whosever it is.
        Acting::Platform => events.first().map_or(TenantId(0), |event| event.tenant),
    };
    Ok(Incoming { tenant, events, is_list })
}

fn read_all<T: DeserializeOwned>(
    body: &Bytes,
    is_list: bool,
    read: impl Fn(T, &str) -> Result<EventIn, Problem>,
) -> Result<Vec<EventIn>, Problem> {
    if !is_list {
        return Ok(vec![read(parse(body, "")?, "")?]);
    }
    let wires: Vec<T> = parse(body, "")?;
    let read = |(position, wire)| read(wire, &format!("[{position}]."));
    wires.into_iter().enumerate().map(read).collect()
}

/// Whether every event of a body names a version of the CloudEvents specification.
fn is_cloud(body: &Bytes, is_list: bool) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(rename = "specversion")]
        _specversion: IgnoredAny,
    }
    if is_list {
        serde_json::from_slice::<Vec<Probe>>(body).is_ok_and(|events| !events.is_empty())
    } else {
        serde_json::from_slice::<Probe>(body).is_ok()
    }
}

/// An event in Postrider's own form.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEvent)]
pub(super) struct EventWire {
    r#type: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    occurred_at: Option<String>,
    severity: Option<String>,
    channels: Option<Vec<i64>>,
    idempotency_key: Option<String>,
    /// The slug of the tenant that it is for; needs a platform key.
    tenant: Option<String>,
}

impl EventWire {
    fn read(self, engine: &App, acting: Acting, prefix: &str) -> Result<EventIn, Problem> {
        Ok(EventIn {
            tenant: tenant_of(engine, acting, self.tenant.as_deref(), prefix)?,
            event_type: self.r#type,
            data: self.data,
            occurred_at: read_time(self.occurred_at, prefix, "occurred_at")?,
            severity: read_severity(self.severity, prefix)?,
            channels: self.channels.map(|ids| ids.into_iter().map(ChannelId).collect()),
            idempotency_key: self.idempotency_key,
            trace: None,
        })
    }
}

/// A CloudEvent, version 1.0, in the JSON event format.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CloudEvent)]
pub(super) struct CloudWire {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    time: Option<String>,
    datacontenttype: Option<String>,
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    #[schema(ignore)]
    data_base64: Option<IgnoredAny>,
    /// An extension of ours.
    severity: Option<String>,
    /// The extension for distributed tracing; one that cannot be read is none, as in the header.
    traceparent: Option<String>,
}

impl CloudWire {
    fn read(self, engine: &App, acting: Acting, prefix: &str, has_header_key: bool) -> Result<EventIn, Problem> {
        self.check(prefix)?;
        let key = (!has_header_key).then(|| cloud_key(&self.source, &self.id));
        let data = match self.data {
            Some(data) if data.get() != "null" => data,
            _ => RawValue::from_string("{}".to_owned()).expect("it is JSON"),
        };
        Ok(EventIn {
            tenant: tenant_of(engine, acting, None, prefix)?,
            event_type: self.r#type,
            data,
            occurred_at: read_time(self.time, prefix, "time")?,
            severity: read_severity(self.severity, prefix)?,
            channels: None,
            idempotency_key: key,
            trace: self.traceparent.as_deref().and_then(TraceContext::parse),
        })
    }

    fn check(&self, prefix: &str) -> Result<(), Problem> {
        let wrong = |field: &str, message: &str| Err(Problem::invalid_field(&format!("{prefix}{field}"), message));
        if self.specversion != "1.0" {
            return wrong("specversion", "must be \"1.0\"");
        }
        for (field, text) in [("id", &self.id), ("source", &self.source)] {
            if !(1..=CLOUD_NAME_BYTES_MAX).contains(&text.len()) {
                return wrong(field, &format!("must be 1 to {CLOUD_NAME_BYTES_MAX} bytes long"));
            }
        }
        if self.data_base64.is_some() {
            return wrong("data_base64", "cannot be taken: send a JSON object in data");
        }
        let is_json = |media: &str| {
            let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            media == "application/json" || media.ends_with("+json")
        };
        if self.datacontenttype.as_deref().is_some_and(|media| !is_json(media)) {
            return wrong("datacontenttype", "must be JSON: data is a JSON object");
        }
        Ok(())
    }
}

/// What names a CloudEvent, in a form that is short enough for a key.
fn cloud_key(source: &str, id: &str) -> String {
    // The length keeps ("a", "b c") and ("a b", "c") apart.
    let digest = Sha256::digest(format!("{} {source} {id}", source.len()));
    digest.iter().fold("cloudevents-".to_owned(), |key, byte| key + &format!("{byte:02x}"))
}

fn tenant_of(engine: &App, acting: Acting, named: Option<&str>, prefix: &str) -> Result<TenantId, Problem> {
    let wrong = |message: String| Problem::invalid_field(&format!("{prefix}tenant"), message);
    let find = |slug: &str| {
        let tenant = engine.tenant(slug).map(|tenant| tenant.id);
        tenant.ok_or_else(|| wrong(format!("there is no tenant {slug:?}; PUT /v1/tenants/{{slug}} makes one")))
    };
    match (acting, named) {
        (Acting::Tenant(tenant) | Acting::PlatformFor(tenant), None) => Ok(tenant),
        (Acting::PlatformFor(_) | Acting::Platform, Some(slug)) => find(slug),
        // Which other tenants there are is not told.
        (Acting::Tenant(own), Some(slug)) => engine
            .tenant(slug)
            .map(|tenant| tenant.id)
            .filter(|tenant| *tenant == own)
            .ok_or_else(|| wrong("must be the key's own tenant, or left out".to_owned())),
        (Acting::Platform, None) => {
            Err(wrong("is required with a platform key: here, or for all in the header Postrider-Tenant".to_owned()))
        }
    }
}

pub(super) fn read_time(text: Option<String>, prefix: &str, field: &str) -> Result<Option<Timestamp>, Problem> {
    let message = "must be a time like 2026-11-22T07:00:00Z (RFC 3339)";
    let read =
        |text: String| parse_rfc3339(&text).ok_or_else(|| Problem::invalid_field(&format!("{prefix}{field}"), message));
    text.map(read).transpose()
}

pub(super) fn read_severity(text: Option<String>, prefix: &str) -> Result<Option<Severity>, Problem> {
    let message = "must be one of debug, info, warning, error, critical";
    let read = |text: String| {
        Severity::parse(&text).ok_or_else(|| Problem::invalid_field(&format!("{prefix}severity"), message))
    };
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloud_events_are_told_by_their_version() {
        let check = |body: &'static str, expected: bool| {
            let is_list = body.starts_with('[');
            assert_eq!(is_cloud(&Bytes::from_static(body.as_bytes()), is_list), expected, "{body}");
        };
        check(r#"{"specversion": "1.0"}"#, true);
        check(r#"[{"specversion": "1.0", "x": 1}, {"specversion": 2}]"#, true);
        check(r#"[{"specversion": "1.0"}, {}]"#, false);
        check(r#"{"type": "a", "data": {"specversion": "1.0"}}"#, false);
        check("[]", false);
        check("{", false);
    }

    #[test]
    fn source_and_id_make_one_key() {
        assert_ne!(cloud_key("a b", "c"), cloud_key("a", "b c"));
        assert_eq!(cloud_key("/x", "1"), cloud_key("/x", "1"));
        assert!(cloud_key(&"ü".repeat(1000), "1").len() < 100);
    }
}
