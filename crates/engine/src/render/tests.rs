//! Templates in every markup: one file for each case under `fixtures`, with the template, the event's data and what is
//! written, separated by lines of `---`. The markup is the file's extension.

use domain::event::NewEvent;
use domain::{TenantId, Timestamp};

use super::*;

fn check(name: &str, fixture: &str) {
    let parts: Vec<&str> = fixture.split("\n---\n").collect();
    let [template, data, expected] = parts.as_slice() else { panic!("{name}: three parts") };
    let markup = match name.rsplit('.').next() {
        Some("json") => Markup::Json,
        Some("html") => Markup::Html,
        Some("txt") => Markup::Plain,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(super::check(template), Ok(()), "{name}");
    let content = NewEvent {
        tenant: TenantId(1),
        event_type: "invoice.paid".into(),
        data: (*data).into(),
        occurred_at: Timestamp::from_ms(0),
        severity: None,
        explicit_channels: None,
        trace: None,
    };
    let mut environment = environment(markup);
    environment.add_template(BODY, template).unwrap();
    let written = render_one(&environment, BODY, &Context::with(&content, []));
    assert_eq!(written.as_deref(), Ok(expected.trim_end_matches('\n')), "{name}");
}

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => { $(check($name, include_str!(concat!("fixtures/", $name)));)* };
}

#[test]
fn values_are_escaped_for_where_they_go() {
    fixtures!("escapes.json", "escapes.html", "escapes.txt", "tojson.html");
}
