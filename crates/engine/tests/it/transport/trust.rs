//! What the operator named is reached past the egress rules, and nothing else profits from it.

use providers::step::FailureKind;
use providers::{Message, Operator, PlanContext};

use super::*;

/// A request as Telegram plans it, whose API the operator has at `base`, or elsewhere.
fn planned(base: Option<&str>) -> HttpStep {
    let provider = providers::find("telegram").unwrap();
    let config = providers::create(provider, &provider.spec().sample()).unwrap();
    let base_urls = base.map(|base| ("telegram".to_owned(), base.parse().unwrap())).into_iter().collect();
    let operator = Operator { base_urls, ..Operator::default() };
    let now = domain::Timestamp::from_ms(0);
    let message = Message {
        event_id: domain::EventId(1),
        event_type: "a",
        data: "{}",
        occurred_at: now,
        severity: None,
        subject: None,
        body: None,
        items: &[],
    };
    let context = PlanContext { wire_id: "dlv_1", attempt: 1, is_plain: false, now, made_at: now, operator: &operator };
    let Step::Http(step) = provider.plan(&config, &message, &context).unwrap().remove(0) else { panic!("a request") };
    step
}

#[tokio::test]
async fn only_the_operators_url_is_reached_without_rules() {
    let server = Server::keeping_alive().await;
    let base = format!("http://{}", server.address);
    let transport = transport(EgressRules::default());
    assert_eq!(reply(&transport, planned(Some(&base))).await.body, "ok");

    // The same server, whose connection is idle by now, by a URL that somebody else gave.
    let refused = failure(&transport, server.step()).await;
    assert_eq!(refused.kind, FailureKind::Forbidden);
    assert!(!planned(None).trust.is_operators());
    assert_eq!(server.connections(), 1);
}
