//! A test of a channel: one delivery at once, outside queue order, limits and retries, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use domain::delivery::{Attempt, Delivery};
use domain::event::NewEvent;
use domain::verdict::Verdicts;
use domain::{ChannelId, DeliveryId, TenantId};
use serde_json::{Map, Value};
use store::journal::AttemptQuery;
use store::queue::{AcceptAnswer, AcceptEvent, AcceptRequest, NewDelivery};

use super::event_types::sample;
use super::{Engine, OpsError};
use crate::registry::LiveChannel;

/// The type of a test's own event.
const TEST_EVENT_TYPE: &str = "postrider.test";

/// What a test sends, and how long it waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTest {
    pub event: TestEvent,
    pub patience: Duration,
}

/// What happened, as a test has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestEvent {
    /// A test, and it says so.
    Itself,
    /// An event of this described type, made of its examples.
    Sample(String),
}

/// A test that says what it is and waits a little longer than a request takes at most.
impl Default for ChannelTest {
    fn default() -> Self {
        Self { event: TestEvent::Itself, patience: Duration::from_secs(20) }
    }
}

/// What came of a test.
#[derive(Debug)]
pub struct TestResult {
    pub delivery: Delivery,
    /// `None` when no answer came in time; the delivery goes on.
    pub attempt: Option<Attempt>,
}

impl Engine {
    /// Sends a test to a channel and waits for what comes of it.
    pub async fn test_channel(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        test: ChannelTest,
    ) -> Result<TestResult, OpsError> {
        let live = self.live_channel(tenant, channel)?;
        if !live.channel.settings.is_active {
            return Err(OpsError::Conflict(format!("channel {channel} is switched off; switch it on to test it")));
        }
        if self.registry.is_suspended(tenant) {
            return Err(OpsError::suspended());
        }
        let (event_type, data) = self.test_event(tenant, &live, test.event)?;
        let delivery = self.accept_test(tenant, &live, event_type, data).await?;
        // Whatever the answer is, and also when none came in time, the store knows by now what there is to know.
        self.dispatch.settled(delivery, test.patience).await;
        let query = AttemptQuery { delivery: Some(delivery), ..AttemptQuery::newest(1) };
        let attempt = self.store.attempts(tenant, query).await?.rows.into_iter().next();
        Ok(TestResult { delivery: self.delivery(tenant, delivery).await?, attempt })
    }

    /// Type and data of what a test sends.
    fn test_event(
        &self,
        tenant: TenantId,
        live: &LiveChannel,
        event: TestEvent,
    ) -> Result<(String, Map<String, Value>), OpsError> {
        match event {
            TestEvent::Itself => {
                let text = "This is a test of the channel by Postrider.";
                let channel = live.channel.settings.name.as_str();
                let data = [("message", text), ("channel", channel)].map(|(key, text)| (key.to_owned(), text.into()));
                Ok((TEST_EVENT_TYPE.to_owned(), data.into_iter().collect()))
            }
            TestEvent::Sample(name) => {
                let described = self.event_type(tenant, &name)?;
                Ok((name, sample(&described.event_type)))
            }
        }
    }

    async fn accept_test(
        &self,
        tenant: TenantId,
        live: &LiveChannel,
        event_type: String,
        data: Map<String, Value>,
    ) -> Result<DeliveryId, OpsError> {
        let now = self.clock.now();
        let content = NewEvent {
            tenant,
            event_type: event_type.into(),
            data: Value::Object(data).to_string().into(),
            occurred_at: now,
            severity: None,
            explicit_channels: Some(vec![live.channel.id]),
            trace: None,
        };
        let event = AcceptEvent {
            content: Arc::new(content),
            deliveries: vec![NewDelivery { channel: live.channel.id, expires_at: now.after(live.time_to_live) }],
            verdicts: Verdicts::new(self.registry.config_version(), Vec::new()),
            key: None,
            attempts_max: Some(1),
        };
        let request = AcceptRequest { tenant, now, key: None, events: vec![event] };
        let AcceptAnswer::Kept(kept) = self.store.accept(request).await? else {
            return Err(OpsError::Internal("a test has no idempotency key".to_owned()));
        };
        let made = kept.first().and_then(|event| event.deliveries.first());
        made.map(|(delivery, _)| *delivery).ok_or_else(|| OpsError::Internal("a test has one delivery".to_owned()))
    }
}
