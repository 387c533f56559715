//! What every page has: the document around it, and times as people read them.

use axum::response::{Html, IntoResponse as _, Response};
use domain::Timestamp;
use http::StatusCode;
use maud::{Markup, html};
use providers::message::rfc3339;

use crate::http::page;

/// A whole document.
pub(super) fn whole(title: &str, body: &Markup) -> Markup {
    page::whole(title, "/console/style.css", body)
}

pub(super) fn answer(status: StatusCode, page: &Markup) -> Response {
    (status, Html(page.0.clone())).into_response()
}

/// A moment, to the second, in UTC.
pub(super) fn time(at: Timestamp) -> Markup {
    let full = rfc3339(at);
    let shown = full.get(..19).unwrap_or(&full).replace('T', " ");
    html! { time datetime=(full) { (shown) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second() {
        let shown = time(Timestamp::from_ms(1_764_000_000_123)).into_string();
        assert_eq!(shown, "<time datetime=\"2025-11-24T16:00:00.123Z\">2025-11-24 16:00:00</time>");
    }
}
