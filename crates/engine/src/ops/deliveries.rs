//! Deliveries, attempts and sums: what happened, and trying again.

use domain::delivery::{Attempt, Delivery, State};
use domain::{ChannelId, DeliveryId, TenantId, Timestamp};
use store::journal::{AttemptQuery, DeliveryQuery, StateFilter};
use store::queue::RetryAnswer;

use super::{Engine, OpsError};
use crate::dispatch::Input;

/// Which deliveries to list, newest first.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    pub channel: Option<ChannelId>,
    pub state: Option<State>,
    /// Only those below.
    pub before: Option<DeliveryId>,
    pub rows_max: usize,
}

/// Sums of a tenant since some time, and what waits now.
#[derive(Debug, PartialEq, Eq)]
pub struct StatsShown {
    pub since: Timestamp,
    pub events: u64,
    pub sent: u64,
    pub failed_attempts: u64,
    pub cancelled: u64,
    pub expired: u64,
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

    pub async fn deliveries(&self, tenant: TenantId, filter: DeliveryFilter) -> Result<Vec<Delivery>, OpsError> {
        let Some(state) = filter.state else {
            let found = self.store.deliveries(tenant, query(&filter, None)).await?;
            return Ok(self.as_they_stand(found).await);
        };
        let source = match state {
            State::Pending => StateFilter::Pending,
            State::Retrying => StateFilter::Retrying,
            State::Processing | State::Held => StateFilter::Waiting,
            State::Dead => StateFilter::Dead,
            State::Sent | State::Cancelled | State::Expired => StateFilter::Settled(state),
        };
        // Held and processing are not states of the table: pages are read until one is full of them.
        let mut page: Vec<Delivery> = Vec::new();
        let mut filter = filter;
        loop {
            let found = self.store.deliveries(tenant, query(&filter, Some(source))).await?;
            let is_last = found.len() < filter.rows_max;
            filter.before = found.last().map(|delivery| delivery.id);
            page.extend(self.as_they_stand(found).await.into_iter().filter(|delivery| delivery.state == state));
            if is_last || page.len() >= filter.rows_max {
                page.truncate(filter.rows_max);
                return Ok(page);
            }
        }
    }

    /// Attempts, newest first.
    pub async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Vec<Attempt>, OpsError> {
        Ok(self.store.attempts(tenant, query).await?)
    }

    /// Tries a delivery again at once: a dead one with a fresh budget of attempts, a waiting one without waiting.
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
    pub async fn stats(&self, tenant: TenantId, since: Timestamp) -> Result<StatsShown, OpsError> {
        let stats = self.store.stats(tenant, since).await?;
        let mut shown = StatsShown {
            since,
            events: stats.events,
            sent: stats.sent,
            failed_attempts: stats.failed_attempts,
            cancelled: stats.cancelled,
            expired: stats.expired,
            pending: 0,
            retrying: 0,
            held: 0,
            dead: stats.dead,
        };
        for (channel, pending, retrying) in stats.waiting {
            if self.is_paused(channel) {
                shown.held += pending + retrying;
            } else {
                shown.pending += pending;
                shown.retrying += retrying;
            }
        }
        Ok(shown)
    }

    fn is_paused(&self, channel: ChannelId) -> bool {
        self.registry.channel(channel).is_some_and(|live| live.channel.pause.is_some())
    }

    /// Completes what the store says: what is under way is processing, what waits for a paused channel is held.
    pub(super) async fn as_they_stand(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let waiting: Vec<_> =
            deliveries.iter().filter(|one| !one.state.is_final()).map(|one| (one.channel, one.id)).collect();
        if waiting.is_empty() {
            return deliveries;
        }
        let under_way = self.dispatch.under_way(waiting).await;
        for delivery in deliveries.iter_mut().filter(|delivery| !delivery.state.is_final()) {
            let live = self.registry.channel(delivery.channel);
            let pause = live.as_ref().and_then(|live| live.channel.pause.as_ref());
            if under_way.contains(&delivery.id) {
                delivery.state = State::Processing;
                delivery.next_attempt_at = None;
            } else if let Some(pause) = pause {
                delivery.state = State::Held;
                delivery.next_attempt_at = None;
                delivery.reason = format!("the channel is paused: {}", pause.reason);
            }
        }
        deliveries
    }
}

fn query(filter: &DeliveryFilter, state: Option<StateFilter>) -> DeliveryQuery {
    DeliveryQuery { channel: filter.channel, state, before: filter.before, rows_max: filter.rows_max }
}

fn cannot_retry(delivery: DeliveryId, state: State) -> OpsError {
    OpsError::Conflict(format!("delivery {delivery} is {state}; only dead and waiting deliveries can be tried again"))
}
