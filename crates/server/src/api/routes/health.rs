//! `/healthz`, `/readyz`, `/metrics`, and the document itself.

use serde_json::json;

use super::super::health;
use super::Routes;
use crate::openapi::{Operation, reference};
use crate::telemetry;

pub(super) fn declare(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "health", about);
    let status =
        |text: &str| json!({"type": "object", "required": ["status"], "properties": {"status": {"const": text}}});
    routes
        .get(
            "/healthz",
            health::alive,
            operation("isAlive", "Whether the process lives.").answer(
                200,
                "It does.",
                status("ok"),
                json!({"status": "ok"}),
            ),
        )
        .get(
            "/readyz",
            health::ready,
            operation("isReady", "Whether it can take events.")
                .answer(200, "It can.", status("ready"), json!({"status": "ready"}))
                .refuses(503, "The database cannot be read."),
        )
        .elsewhere(
            "get",
            reference::DOCUMENT,
            operation("getDocument", "This document.").answer(
                200,
                "OpenAPI 3.1.",
                json!({"type": "object", "required": ["openapi", "paths"]}),
                json!({"openapi": "3.1.0", "paths": {}}),
            ),
        )
        .elsewhere(
            "get",
            reference::PAGE,
            operation("getReference", "This document, for people.").text(200, "A page.", "text/html"),
        )
        .elsewhere(
            "get",
            reference::STYLE,
            operation("getReferenceStyle", "How the page looks.").text(200, "A style sheet.", "text/css"),
        )
        .elsewhere(
            "get",
            telemetry::route::PATH,
            operation("getMetrics", "Figures, in the text format of Prometheus.")
                .detail(
                    "Needs a platform key, unless asked from the server's own machine or made public with \
                     POSTRIDER_METRICS__PUBLIC.",
                )
                .text(200, "OpenMetrics.", "application/openmetrics-text")
                .text(401, "No key, or one that is not valid.", "text/plain")
                .text(403, "The key is no platform key.", "text/plain")
                .text(503, "The database cannot be read.", "text/plain"),
        )
}
