//! `/v1/events`.

use domain::tenant::Scope::{EventsRead, EventsWrite};
use serde_json::{Value, json};

use super::super::events::{self, AcceptedOut, EventOut, ExplainIn, ExplainedOut, ListIn, ListedOut};
use super::super::incoming::{CLOUD_BATCH, CLOUD_EVENT, CloudWire, EventWire};
use super::Routes;
use crate::openapi::Operation;

const TIME: &str = "2026-11-22T08:46:21.550Z";

pub(super) fn declare(routes: Routes) -> Routes {
    routes
        .get("/v1/events", events::list, list())
        .post("/v1/events", events::create, create())
        .get("/v1/events/{id}", events::show, show())
        .get("/v1/events/{id}/explain", events::explain, explain())
}

fn operation(id: &str, about: &str) -> Operation {
    Operation::new(id, "events", about)
}

fn list() -> Operation {
    operation("listEvents", "Lists events without their data, newest first.")
        .scope(EventsRead)
        .query::<ListIn>()
        .page::<ListedOut>(json!({
        "id": "evt_3", "type": "invoice.paid", "occurred_at": TIME, "accepted_at": TIME, "severity": "info",
        "deliveries_total": 2,
    }))
}

fn create() -> Operation {
    let one_or_many = |name: &str| {
        let one = json!({"$ref": format!("#/components/schemas/{name}")});
        json!({"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 1000}]})
    };
    let accepted = json!({"$ref": "#/components/schemas/Accepted"});
    let answer = json!({"oneOf": [
        accepted,
        {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": accepted}}},
    ]});
    let key = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"});
    let trace = json!({"type": "string"});
    let named = |examples: &[(&str, &Value)]| {
        examples.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect::<Vec<_>>()
    };
    let event = json!({"type": "invoice.paid", "data": {"amount": 50}, "severity": "info"});
    let cloud = json!({"specversion": "1.0", "id": "7", "source": "/billing", "type": "invoice.paid",
        "data": {"amount": 50}});
    let (events, batch) = (json!([event]), json!([cloud]));
    let mut any = one_or_many("NewEvent");
    any["description"] = "CloudEvents are taken with this media type, too, when each has a `specversion`.".into();
    operation("postEvents", "Accepts an event, or up to 1,000 of them.")
        .detail(
            "All are kept or none. Answered once the events and their deliveries are durable. An object is answered with \
             an object, an array with `data` in the same order. A request that is repeated with its idempotency key \
             within 24 hours happens once.",
        )
        .scope(EventsWrite)
        .header("Idempotency-Key", "Covers the whole request.", key, "order-17-paid")
        .header(
            "traceparent",
            "The producer's trace (W3C Trace Context); passed on to webhooks.",
            trace,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .with::<EventWire>()
        .with::<CloudWire>()
        .with::<AcceptedOut>()
        .media("application/json", any, named(&[("one", &event), ("several", &events)]))
        .media(CLOUD_EVENT, json!({"$ref": "#/components/schemas/CloudEvent"}), named(&[("one", &cloud)]))
        .media(
            CLOUD_BATCH,
            json!({"type": "array", "minItems": 1, "maxItems": 1000, "items": {"$ref": "#/components/schemas/CloudEvent"}}),
            named(&[("batch", &batch)]),
        )
        .answer(202, "Kept.", answer, json!({"id": "evt_3", "deliveries": [{"id": 3, "channel_id": 1}]}))
        .refuses(409, "The idempotency key was used with another body; nothing was kept.")
}

fn show() -> Operation {
    operation("getEvent", "Shows an event, what became of it, and whom it did not reach.")
        .scope(EventsRead)
        .answers::<EventOut>(
            200,
            "The event.",
            json!({
                "id": "evt_3", "type": "invoice.paid", "data": {"amount": 50}, "occurred_at": TIME, "accepted_at": TIME,
                "severity": "info", "channels": null, "deliveries": [super::deliveries::example()],
                "deliveries_total": 1, "expanding": 0,
                "verdicts": [{"channel_id": 2, "reason": "filter_false", "reason_code": "filter_false"}],
                "verdicts_more": 0,
            }),
        )
}

fn explain() -> Operation {
    operation("explainEvent", "Tells why a channel did or did not get an event.")
        .detail(
            "`reason_code` says why it stands where it stands, or why there is none. `reason` is the status of the \
             delivery; where there is none, the same as `reason_code`.",
        )
        .scope(EventsRead)
        .query::<ExplainIn>()
        .answers::<ExplainedOut>(
            200,
            "The reason.",
            json!({"event_id": "evt_2", "channel_id": 2, "reason": "filter_false", "reason_code": "filter_false",
                "delivery": null}),
        )
}
