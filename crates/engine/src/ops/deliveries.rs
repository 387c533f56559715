//! Deliveries, attempts and sums: what happened, and trying again.

use domain::delivery::{Attempt, Delivery, State};
use domain::lane::Wait;
use domain::routing::Pattern;
use domain::{AttemptId, ChannelId, DeliveryId, EventId, ReasonCode, TenantId, Timestamp};
use providers::message::rfc3339;
use store::journal::{AttemptQuery, DeliveryQuery, Page, Span, StateFilter, StatsQuery, Text};
use store::queue::RetryAnswer;

use super::{EXAMINED_MAX, Engine, OpsError};
use crate::dispatch::Input;

/// Waiting rows read at a time when only those that are held, or under way, are wanted.
const LOOK_ROWS: usize = 500;

/// Which deliveries to list, newest first.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    pub channel: Option<ChannelId>,
    pub state: Option<State>,
    pub event_types: Option<Pattern>,
    pub event: Option<EventId>,
    pub created: Span,
    /// In the reason as it is kept; that a channel is held is not kept with its deliveries.
    pub text: Option<Text>,
    /// Only those below.
    pub before: Option<DeliveryId>,
    pub rows_max: usize,
}

impl DeliveryFilter {
    /// Every delivery.
    pub const fn newest(rows_max: usize) -> Self {
        Self {
            channel: None,
            state: None,
            event_types: None,
            event: None,
            created: Span { since: None, until: None },
            text: None,
            before: None,
            rows_max,
        }
    }

    fn query(&self, state: Option<StateFilter>, before: Option<DeliveryId>, rows_max: usize) -> DeliveryQuery {
        DeliveryQuery {
            channel: self.channel,
            state,
            event_types: self.event_types.clone(),
            event: self.event,
            created: self.created,
            text: self.text.clone(),
            before,
            rows_max,
            examined_max: EXAMINED_MAX,
        }
    }
}

/// Sums of a tenant since some time, and what waits now.
#[derive(Debug, PartialEq, Eq)]
pub struct StatsShown {
    pub since: Timestamp,
    /// `None` for one channel: an event belongs to none.
    pub events: Option<u64>,
    pub sent: u64,
    pub failed_attempts: u64,
    pub cancelled: u64,
    pub expired: u64,
    /// `None` for some event types: what waits is not counted by type.
    pub waiting: Option<WaitingShown>,
}

/// What waits now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WaitingShown {
    pub pending: u64,
    pub retrying: u64,
    pub held: u64,
    pub dead: u64,
}

impl Engine {
    pub async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Delivery, OpsError> {
        let found = self.store.delivery(tenant, delivery).await?;
        let found = found.ok_or_else(|| OpsError::NotFound(format!("delivery {delivery}")))?;
        Ok(self.as_they_stand(vec![found]).await.remove(0))
    }

    /// Deliveries, newest first.
    pub async fn deliveries(
        &self,
        tenant: TenantId,
        filter: DeliveryFilter,
    ) -> Result<Page<Delivery, DeliveryId>, OpsError> {
        let source = match filter.state {
            None => None,
            Some(State::Pending) => Some(StateFilter::Pending),
            Some(State::Retrying) => Some(StateFilter::Retrying),
            Some(state @ (State::Processing | State::Held)) => {
                return self.waiting_that_are(tenant, &filter, state).await;
            }
            Some(State::Dead) => Some(StateFilter::Dead),
            Some(state @ (State::Sent | State::Cancelled | State::Expired)) => Some(StateFilter::Settled(state)),
        };
        let page = self.store.deliveries(tenant, filter.query(source, filter.before, filter.rows_max)).await?;
        let mut rows = self.as_they_stand(page.rows).await;
        rows.retain(|delivery| filter.state.is_none_or(|state| delivery.state == state));
        Ok(Page { rows, next: page.next })
    }

    /// Held and processing are not states of the table: what waits is read until a page is full of them, or enough was
    /// examined.
    async fn waiting_that_are(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        state: State,
    ) -> Result<Page<Delivery, DeliveryId>, OpsError> {
        let mut page = Page { rows: Vec::new(), next: filter.before };
        let mut examined = 0;
        loop {
            let query = filter.query(Some(StateFilter::Waiting), page.next, LOOK_ROWS);
            let found = self.store.deliveries(tenant, query).await?;
            // A short page with a next one has examined what there is to examine.
            examined += if found.rows.len() < LOOK_ROWS { EXAMINED_MAX } else { LOOK_ROWS };
            page.next = found.next;
            for delivery in self.as_they_stand(found.rows).await.into_iter().filter(|one| one.state == state) {
                let id = delivery.id;
                page.rows.push(delivery);
                if page.rows.len() == filter.rows_max {
                    page.next = Some(id);
                    return Ok(page);
                }
            }
            if page.next.is_none() || examined >= EXAMINED_MAX {
                return Ok(page);
            }
        }
    }

    /// Attempts, newest first.
    pub async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Page<Attempt, AttemptId>, OpsError> {
        let examined_max = query.examined_max.min(EXAMINED_MAX);
        Ok(self.store.attempts(tenant, AttemptQuery { examined_max, ..query }).await?)
    }

    /// Tries a delivery again at once, with a fresh budget of attempts: a dead one, or one that waits.
    pub async fn retry_delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Delivery, OpsError> {
        let now = self.clock.now();
        let current = self.delivery(tenant, delivery).await?;
        let live = self.live_channel(tenant, current.channel).map_err(|_| {
            OpsError::Conflict(format!("channel {} of delivery {delivery} was deleted", current.channel))
        })?;
        if !live.channel.settings.is_active {
            let message = format!("channel {} is switched off; switch it on first", current.channel);
            return Err(OpsError::Conflict(message));
        }
        if current.state.is_final() && current.state != State::Dead {
            return Err(cannot_retry(delivery, current.state));
        }
        if current.state == State::Processing {
            return Err(OpsError::Conflict(format!("delivery {delivery} is being tried now")));
        }
        let retried = self.store.retry(tenant, delivery, now.after(live.time_to_live)).await;
        if retried.is_err() {
            // It may have been done and only the answer lost: dispatch looks.
            self.dispatch.input(Input::RetryAsked(current.channel, delivery));
        }
        match retried? {
            Some(RetryAnswer::Due(channel)) => self.dispatch.input(Input::RetryAsked(channel, delivery)),
            Some(RetryAnswer::Over(state)) => return Err(cannot_retry(delivery, state)),
            None => return Err(OpsError::NotFound(format!("delivery {delivery}"))),
        }
        self.delivery(tenant, delivery).await
    }

    /// Sums since the quarter of an hour of `since`.
    pub async fn stats(&self, tenant: TenantId, query: StatsQuery) -> Result<StatsShown, OpsError> {
        let (since, has_channel, has_types) = (query.since, query.channel.is_some(), query.event_types.is_some());
        let stats = self.store.stats(tenant, query).await?;
        let mut now = WaitingShown { dead: stats.dead, ..WaitingShown::default() };
        for (channel, pending, retrying) in stats.waiting {
            if self.is_held(channel) {
                now.held += pending + retrying;
            } else {
                now.pending += pending;
                now.retrying += retrying;
            }
        }
        Ok(StatsShown {
            since,
            events: (!has_channel).then_some(stats.events),
            sent: stats.sent,
            failed_attempts: stats.failed_attempts,
            cancelled: stats.cancelled,
            expired: stats.expired,
            waiting: (!has_types).then_some(now),
        })
    }

    fn is_held(&self, channel: ChannelId) -> bool {
        self.registry.channel(channel).is_some_and(|live| live.holding().is_some())
    }

    /// Completes what the store says: what is under way is processing, what waits for a channel that is held is held.
    pub(super) async fn as_they_stand(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let waiting: Vec<_> =
            deliveries.iter().filter(|one| !one.state.is_final()).map(|one| (one.channel, one.id)).collect();
        if waiting.is_empty() {
            return deliveries;
        }
        let standing = self.dispatch.standing(waiting).await;
        let now = self.clock.now();
        for delivery in deliveries.iter_mut().filter(|delivery| !delivery.state.is_final()) {
            let hold = self.registry.channel(delivery.channel).and_then(|live| live.holding());
            if standing.under_way.contains(&delivery.id) {
                delivery.state = State::Processing;
                delivery.code = ReasonCode::UnderWay;
                delivery.next_attempt_at = None;
            } else if let Some(hold) = hold {
                delivery.state = State::Held;
                delivery.code = hold.code();
                delivery.next_attempt_at = None;
                delivery.reason = hold.to_string();
            } else if let Some(until) = standing.collected.get(&delivery.id) {
                delivery.code = ReasonCode::WaitsForDigest;
                delivery.next_attempt_at = Some(*until);
                delivery.reason = format!("waits in a digest until {}", rfc3339(*until));
            } else {
                wait_in_lane(delivery, standing.waits.get(&delivery.id), now);
            }
        }
        deliveries
    }
}

/// Says what a delivery waits for that waits in its lane. One that was tried keeps the words of what came of it.
fn wait_in_lane(delivery: &mut Delivery, wait: Option<&Wait>, now: Timestamp) {
    let due_at = delivery.next_attempt_at.filter(|at| *at > now);
    let (code, until, words) = match wait {
        Some(Wait::Provider(until)) if due_at.is_none_or(|due| due <= *until) => {
            (ReasonCode::WaitsForProvider, Some(*until), "its provider asked for a pause")
        }
        _ if due_at.is_some() => (ReasonCode::WaitsForRetry, due_at, "a later attempt is due"),
        Some(Wait::RateLimit(until)) => (ReasonCode::WaitsForRateLimit, *until, "a rate limit has no room"),
        Some(Wait::Predecessor) => {
            (ReasonCode::WaitsForPredecessor, None, "an older delivery of its channel has to settle first")
        }
        Some(Wait::Provider(_)) | None => (ReasonCode::WaitsForTurn, None, ""),
    };
    delivery.code = code;
    delivery.next_attempt_at = until.or(due_at);
    if delivery.reason.is_empty() {
        words.clone_into(&mut delivery.reason);
    }
}

fn cannot_retry(delivery: DeliveryId, state: State) -> OpsError {
    OpsError::Conflict(format!("delivery {delivery} is {state}; only dead and waiting deliveries can be tried again"))
}
