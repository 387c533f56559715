//! `/v1/inbox`.

use domain::tenant::Scope::Inbox;
use serde_json::{Value, json};

use super::super::inbox::{self, CountIn, CountOut, EntryOut, ListIn, MarkAllIn, MarkedOut};
use super::Routes;
use crate::openapi::Operation;

pub(super) fn declare(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "inbox", about).scope(Inbox);
    routes
        .get(
            "/v1/inbox",
            inbox::list,
            operation("listInbox", "Lists entries, newest first.").query::<ListIn>().page::<EntryOut>(example()),
        )
        .get(
            "/v1/inbox/unread",
            inbox::count,
            operation("countUnread", "Counts what is unread.").query::<CountIn>().answers::<CountOut>(
                200,
                "The count.",
                json!({"unread": 3, "more": false}),
            ),
        )
        .post(
            "/v1/inbox/read-all",
            inbox::mark_all_read,
            operation("markAllRead", "Marks all entries as read.")
                .body::<MarkAllIn>(json!({"recipient": "ann"}))
                .answers::<MarkedOut>(200, "How many were unread.", json!({"marked": 3})),
        )
        .post(
            "/v1/inbox/{id}/read",
            inbox::mark_read,
            operation("markRead", "Marks an entry as read.").answers::<EntryOut>(200, "The entry.", example()),
        )
        .delete(
            "/v1/inbox/{id}/read",
            inbox::mark_unread,
            operation("markUnread", "Marks an entry as unread.").answers::<EntryOut>(200, "The entry.", example()),
        )
}

fn example() -> Value {
    json!({
        "id": 5, "event_id": "evt_3", "channel_id": 3, "recipient": "ann",
        "content": {"type": "invoice.paid", "title": "Invoice paid"}, "created_at": "2026-11-22T08:46:21.550Z",
        "read_at": null,
    })
}
