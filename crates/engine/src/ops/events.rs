//! Accepting events, and telling what became of them.

use std::collections::BTreeSet;

use domain::delivery::Delivery;
use domain::routing::FilterResult;
use domain::verdict::Reason;
use domain::{ChannelId, DeliveryId, EventId, ReasonCode, TenantId};
use store::journal::{EventQuery, EventRecord, EventSummary, Lifetime, Page};
use store::queue::{AcceptAnswer, AcceptedEvent, EVENT_DELIVERIES_MAX};

use super::{EXAMINED_MAX, Engine, OpsError};
use crate::accept::filter::{Context, Filter};
use crate::accept::{self, EventIn, ROWS_MAX, Refused};
use crate::dispatch::Input;
use crate::observe::Commit;

/// An event that is kept, and why it did not reach some channels.
#[derive(Debug)]
pub struct Accepted {
    pub event: AcceptedEvent,
    /// Channels whose pattern matched, or that were named, and that did not get it.
    pub skipped: Vec<(ChannelId, Reason)>,
}

/// An event with its deliveries.
#[derive(Debug)]
pub struct EventShown {
    pub record: EventRecord,
    /// The first of them, in order of id.
    pub deliveries: Vec<Delivery>,
}

/// Why an event did or did not become a delivery to a channel.
#[derive(Debug, PartialEq, Eq)]
pub enum Explained {
    /// It did.
    Delivery(Box<Delivery>),
    /// It will: the fan-out is being written.
    Expanding,
    Skipped(Reason),
    /// The event named its channels, and not this one.
    NotNamed,
    NoSubscription,
    /// The channel was made after the event.
    ChannelIsYounger,
    /// The channel had been deleted before the event.
    ChannelWasDeleted,
    /// The pattern matched and the reason is beyond what is kept for one event.
    NotKept,
}

impl Explained {
    /// Why, for programs: of a delivery more than how it stands.
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Delivery(delivery) => delivery.code,
            Self::Expanding => ReasonCode::Expanding,
            Self::Skipped(reason) => (*reason).into(),
            Self::NotNamed => ReasonCode::NotNamed,
            Self::NoSubscription => ReasonCode::NoSubscription,
            Self::ChannelIsYounger => ReasonCode::ChannelIsYounger,
            Self::ChannelWasDeleted => ReasonCode::ChannelWasDeleted,
            Self::NotKept => ReasonCode::ReasonNotKept,
        }
    }

    /// How it stands with a delivery, else the code of why there is none.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Delivery(delivery) => delivery.state.name(),
            _ => self.reason_code().name(),
        }
    }
}

impl Engine {
    /// Keeps the events of one request, all or none, each for its own tenant. When this returns they are durable.
    ///
    /// `is_list` says how fields are named in errors; `key` is an idempotency key of `tenant` for the whole request.
    pub async fn accept_events(
        &self,
        tenant: TenantId,
        events: Vec<EventIn>,
        is_list: bool,
        key: Option<&str>,
    ) -> Result<Vec<Accepted>, OpsError> {
        let now = self.clock.now();
        self.begin_steering(&events).await?;
        let request = accept::prepare(&self.registry, tenant, events, is_list, key, now).map_err(refuse)?;
        let tenants: BTreeSet<TenantId> = request.events.iter().map(|event| event.content.tenant).collect();
        if tenants.iter().any(|tenant| self.registry.is_suspended(*tenant)) {
            return Err(OpsError::suspended());
        }
        let taken = self.take_quotas(&request).await?;
        let whose: Vec<TenantId> = request.events.iter().map(|event| event.content.tenant).collect();
        let skipped: Vec<_> = request.events.iter().map(|event| event.verdicts.skipped.clone()).collect();
        let expands = request.events.iter().any(|event| event.deliveries.len() > EVENT_DELIVERIES_MAX);
        let (trace, count) = (request.events.first().and_then(|event| event.content.trace), request.events.len());
        let begun = self.clock.monotonic();
        let answer = self.store.accept(request).await;
        if let Some(observer) = &self.observer {
            let took = self.clock.monotonic().saturating_sub(begun);
            observer.committed(&Commit { trace, events: count, begun_at: now, took, is_kept: answer.is_ok() });
        }
        if expands {
            // Also when it failed: it may have been kept and only the answer lost.
            self.dispatch.input(Input::ExpandAsked);
        }
        match &answer {
            Ok(AcceptAnswer::Kept(kept)) => self.give_back(&taken, Some((&whose, kept))),
            Ok(AcceptAnswer::KeyReused(_)) | Err(_) => self.give_back(&taken, None),
        }
        if answer.is_err() {
            // Refused because a tenant was deleted since it was asked for, that is.
            tenants.into_iter().try_for_each(|tenant| self.check_tenant(tenant))?;
        }
        match answer? {
            AcceptAnswer::Kept(kept) => {
                Ok(kept.into_iter().zip(skipped).map(|(event, skipped)| Accepted { event, skipped }).collect())
            }
            AcceptAnswer::KeyReused(position) => {
                let which = position.map_or(String::new(), |position| format!(" of event [{position}]"));
                Err(OpsError::Conflict(format!(
                    "the idempotency key{which} was used in the last 24 hours for another body; nothing was kept"
                )))
            }
        }
    }

    /// An event with at most `deliveries_max` of its deliveries.
    pub async fn event(&self, tenant: TenantId, event: EventId, deliveries_max: usize) -> Result<EventShown, OpsError> {
        let record = self.record(tenant, event).await?;
        let deliveries = self.store.deliveries_of(tenant, event, DeliveryId(0), deliveries_max).await?;
        Ok(EventShown { record, deliveries: self.as_they_stand(deliveries).await })
    }

    /// An event as it is kept. One that was let go of is told apart from one that never was.
    async fn record(&self, tenant: TenantId, event: EventId) -> Result<EventRecord, OpsError> {
        if let Some(record) = self.store.event(tenant, event).await? {
            return Ok(record);
        }
        let public = event.public();
        match self.registry.retention().events {
            Some(kept) if event < self.store.kept_from().await? => Err(OpsError::NotFound(format!(
                "event {public} any more: events are kept for {} days (retention.events_days)",
                kept.as_millis().div_ceil(86_400_000)
            ))),
            _ => Err(OpsError::NotFound(format!("event {public}"))),
        }
    }

    /// Events, newest first.
    pub async fn events(&self, tenant: TenantId, query: EventQuery) -> Result<Page<EventSummary, EventId>, OpsError> {
        let examined_max = query.examined_max.min(EXAMINED_MAX);
        Ok(self.store.events(tenant, EventQuery { examined_max, ..query }).await?)
    }

    /// Why an event did or did not become a delivery to a channel of the tenant.
    pub async fn explain(&self, tenant: TenantId, event: EventId, channel: ChannelId) -> Result<Explained, OpsError> {
        let lifetime = self.lifetime(tenant, channel).await?;
        let record = self.record(tenant, event).await?;
        if let Some(made) = self.store.delivery_to(tenant, event, channel).await? {
            let delivery = self.as_they_stand(vec![made]).await.remove(0);
            return Ok(Explained::Delivery(Box::new(delivery)));
        }
        if let Some((_, reason)) = record.verdicts.skipped.iter().find(|(skipped, _)| *skipped == channel) {
            return Ok(Explained::Skipped(*reason));
        }
        if record.event.content.explicit_channels.is_some() {
            return Ok(Explained::NotNamed);
        }
        let version = record.verdicts.config_version;
        let then = self.store.subscriptions_at(tenant, channel, version).await?;
        let matching: Vec<_> =
            then.iter().filter(|one| one.pattern.matches(&record.event.content.event_type)).collect();
        if matching.is_empty() {
            let accepted_at = record.event.accepted_at;
            return Ok(if lifetime.created_at > accepted_at {
                Explained::ChannelIsYounger
            } else if lifetime.deleted_at.is_some_and(|end| end <= accepted_at) {
                Explained::ChannelWasDeleted
            } else {
                Explained::NoSubscription
            });
        }
        let context = Context::of(&record.event.content);
        let passes = |filter: &str| Filter::compile_stored(filter).evaluate(&context) == FilterResult::Pass;
        let passed = matching.iter().any(|one| one.filter.as_deref().is_none_or(passes));
        Ok(if passed && record.expanding > 0 { Explained::Expanding } else { Explained::NotKept })
    }

    /// When a channel was there: what is deleted stays explained.
    async fn lifetime(&self, tenant: TenantId, channel: ChannelId) -> Result<Lifetime, OpsError> {
        if let Some(live) = self.registry.channel_of(tenant, channel) {
            return Ok(Lifetime { created_at: live.channel.created_at, deleted_at: None });
        }
        self.store.lifetime(tenant, channel).await?.ok_or_else(|| OpsError::no_channel(channel))
    }
}

fn refuse(refused: Refused) -> OpsError {
    match refused {
        Refused::Invalid(errors) => OpsError::Invalid(errors),
        Refused::TooManyDeliveries(rows) => OpsError::TooLarge(format!(
            "the events of this request would make {rows} deliveries at once, and the limit is {ROWS_MAX}; send fewer \
             events per request"
        )),
    }
}
