//! `/v1/redrives`.

use domain::tenant::Scope::{DeliveriesRead, DeliveriesWrite};
use serde_json::{Value, json};

use super::super::redrives::{self, PreviewOut, RedriveIn, RedriveOut};
use super::Routes;
use crate::openapi::Operation;

pub(super) fn declare(routes: Routes) -> Routes {
    let steer = |id, about| {
        Operation::new(id, "redrives", about)
            .scope(DeliveriesWrite)
            .answers::<RedriveOut>(200, "The redrive.", example())
            .refuses(409, "It is over.")
    };
    routes
        .get(
            "/v1/redrives",
            redrives::list,
            Operation::new("listRedrives", "redrives", "Lists redrives, newest first.")
                .scope(DeliveriesRead)
                .query::<redrives::ListIn>()
                .page::<RedriveOut>(example()),
        )
        .post("/v1/redrives", redrives::create, create())
        .get(
            "/v1/redrives/{id}",
            redrives::show,
            Operation::new("getRedrive", "redrives", "Shows a redrive and how far it has come.")
                .scope(DeliveriesRead)
                .answers::<RedriveOut>(200, "The redrive.", example()),
        )
        .post("/v1/redrives/{id}/pause", redrives::pause, steer("pauseRedrive", "Pauses a redrive."))
        .post("/v1/redrives/{id}/resume", redrives::resume, steer("resumeRedrive", "Lets a redrive go on."))
        .post("/v1/redrives/{id}/cancel", redrives::cancel, steer("cancelRedrive", "Ends a redrive where it stands."))
}

fn create() -> Operation {
    let examples = [
        // Whether there are any is asked first.
        ("dry_run", json!({"filter": {"code": 503, "since": "2026-11-22T07:00:00Z"}, "dry_run": true})),
        ("dead", json!({"filter": {"status": "dead", "text": "refused"}, "pace_per_second": 20})),
        ("history", json!({"from": "history", "channel_id": 1, "filter": {"since": "2026-11-22T07:00:00Z"}})),
    ];
    let examples = examples.map(|(name, example)| (name.to_owned(), example)).to_vec();
    Operation::new("createRedrive", "redrives", "Tries many deliveries again, or delivers past events.")
        .detail(
            "`from` `dead` lets dead letters wait again, with a fresh budget of attempts. `from` `history` delivers events \
             to `channel_id` that it would hear of now and that did not come to it. It covers what there is when it is \
             asked for.",
        )
        .scope(DeliveriesWrite)
        .with::<RedriveIn>()
        .media("application/json", json!({"$ref": "#/components/schemas/NewRedrive"}), examples)
        .answers::<RedriveOut>(201, "It runs.", example())
        .answers::<PreviewOut>(200, "With `dry_run`: what it would take.", preview())
        .refuses(409, "Too many run already, or the channel is switched off.")
}

fn preview() -> Value {
    json!({"count": 1, "is_lower_bound": false, "deliveries": [super::deliveries::example()], "events": []})
}

fn example() -> Value {
    json!({
        "id": 1, "from": "dead", "channel_id": null, "filter": {"code": 503, "since": "2026-11-22T07:00:00.000Z"},
        "pace_per_second": 20, "status": "running", "reason": null, "examined": 40, "redriven": 37, "skipped": 1,
        "created_at": "2026-11-22T08:46:21.550Z", "ended_at": null,
    })
}
