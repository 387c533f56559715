//! What tenants may bring and have: looked at before events are kept, and shown.
//!
//! Events are counted in memory, and a day's count begins with what the sums say at the first look. How much waits is read
//! from the sums once a second at most; in between what was accepted is added, and what was sent is not taken off.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::quotas::{EventCounts, Exceeded, Quota, Quotas, day_of};
use domain::{TenantId, Timestamp};
use store::journal::StatsQuery;
use store::queue::{AcceptRequest, AcceptedEvent};

use super::{Engine, OpsError};

/// How old the known number of waiting deliveries may be.
const WAITING_AGE_MAX: Duration = Duration::from_secs(1);

/// When to come again while too much waits: time enough for some of it to be sent.
const WAITING_AFTER: Duration = Duration::from_secs(30);

/// A quota of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaShown {
    pub quota: Quota,
    /// What is in force; `None`: no bound.
    pub bound: Option<u64>,
    /// Whether it is the tenant's own, and not the server's.
    pub is_own: bool,
    /// `None`: it is not counted while there is no bound.
    pub used: Option<u64>,
}

/// What is counted of tenants that have a quota.
#[derive(Debug, Default)]
pub(super) struct QuotaBook(Mutex<BTreeMap<TenantId, Counted>>);

#[derive(Clone, Copy, Debug)]
struct Counted {
    events: EventCounts,
    waiting: u64,
    waiting_at: Timestamp,
}

/// What was counted of one request, to be given back when it is not accepted.
#[derive(Debug, Default)]
pub(super) struct Taken {
    at: Timestamp,
    of: BTreeMap<TenantId, Share>,
}

/// What a request brings for one tenant.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    events: u64,
    deliveries: u64,
}

impl QuotaBook {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<TenantId, Counted>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a tenant that is gone.
    pub(super) fn forget(&self, tenant: TenantId) {
        self.with(|counted| counted.remove(&tenant));
    }

    fn take(&self, tenant: TenantId, quotas: &Quotas, share: Share, now: Timestamp) -> Result<(), Exceeded> {
        self.with(|all| {
            let Some(counted) = all.get_mut(&tenant) else { return Ok(()) };
            let waiting = counted.waiting.saturating_add(share.deliveries);
            if let Some(bound) = quotas.bound(Quota::DeliveriesWaiting)
                && waiting > bound
            {
                let used = counted.waiting;
                return Err(Exceeded { quota: Quota::DeliveriesWaiting, bound, used, after: Some(WAITING_AFTER) });
            }
            counted.events.take(quotas, share.events, now)?;
            counted.waiting = waiting;
            Ok(())
        })
    }

    fn give_back(&self, tenant: TenantId, share: Share, then: Timestamp) {
        self.with(|all| {
            if let Some(counted) = all.get_mut(&tenant) {
                counted.events.give_back(share.events, then);
                counted.waiting = counted.waiting.saturating_sub(share.deliveries);
            }
        });
    }
}

impl Engine {
    /// The quotas of a tenant and how much of each is used.
    pub async fn quotas(&self, tenant: TenantId) -> Result<Vec<QuotaShown>, OpsError> {
        let (own, quotas) = self.registry.quotas(tenant);
        let now = self.clock.now();
        let today = self.store.stats(tenant, StatsQuery::since(day_of(now))).await?;
        let used = |quota| match quota {
            Quota::EventsPerMinute => {
                quotas.bound(quota)?;
                Some(self.quota_book.with(|all| all.get(&tenant).map_or(0, |counted| counted.events.of_minute(now))))
            }
            Quota::EventsPerDay => Some(today.events),
            Quota::DeliveriesWaiting => Some(today.pending + today.retrying),
            Quota::Channels => u64::try_from(self.registry.channels_count(tenant)).ok(),
        };
        let shown = |quota| QuotaShown {
            quota,
            bound: quotas.bound(quota),
            is_own: own.get(quota).is_some(),
            used: used(quota),
        };
        Ok(Quota::ALL.map(shown).to_vec())
    }

    /// Counts what a request brings, or says which quota has no room for it; then nothing was counted.
    pub(super) async fn take_quotas(&self, request: &AcceptRequest) -> Result<Taken, OpsError> {
        let mut shares: BTreeMap<TenantId, Share> = BTreeMap::new();
        for event in &request.events {
            let share = shares.entry(event.content.tenant).or_default();
            share.events += 1;
            share.deliveries += u64::try_from(event.deliveries.len()).unwrap_or(u64::MAX);
        }
        let mut taken = Taken { at: request.now, of: BTreeMap::new() };
        for (tenant, share) in shares {
            let (_, quotas) = self.registry.quotas(tenant);
            if quotas == Quotas::default() {
                continue;
            }
            let outcome = match self.look_at_quotas(tenant, &quotas, request.now).await {
                Ok(()) => {
                    self.quota_book.take(tenant, &quotas, share, request.now).map_err(|full| self.told(full, share))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.give_back(&taken, None);
                return Err(error);
            }
            taken.of.insert(tenant, share);
        }
        Ok(taken)
    }

    /// Takes back what was counted and is not new: everything, or what had been accepted before under the same keys.
    pub(super) fn give_back(&self, taken: &Taken, kept: Option<(&[TenantId], &[AcceptedEvent])>) {
        let Some((tenants, events)) = kept else {
            taken.of.iter().for_each(|(tenant, share)| self.quota_book.give_back(*tenant, *share, taken.at));
            return;
        };
        for (tenant, event) in tenants.iter().zip(events).filter(|(_, event)| event.is_repeat) {
            if taken.of.contains_key(tenant) {
                let deliveries = u64::try_from(event.deliveries.len() + event.expanding).unwrap_or(u64::MAX);
                self.quota_book.give_back(*tenant, Share { events: 1, deliveries }, taken.at);
            }
        }
    }

    /// Whether the tenant may have one channel more.
    pub(super) fn check_channels_quota(&self, tenant: TenantId) -> Result<(), OpsError> {
        let used = u64::try_from(self.registry.channels_count(tenant)).unwrap_or(u64::MAX);
        match self.registry.quotas(tenant).1.bound(Quota::Channels) {
            Some(bound) if used >= bound => {
                Err(self.refused_by(Exceeded { quota: Quota::Channels, bound, used, after: None }))
            }
            _ => Ok(()),
        }
    }

    /// Brings what is known of a tenant up to date, where a quota needs it.
    async fn look_at_quotas(&self, tenant: TenantId, quotas: &Quotas, now: Timestamp) -> Result<(), OpsError> {
        let known = self.quota_book.with(|all| all.get(&tenant).copied());
        let is_old = |counted: &Counted| now.since(counted.waiting_at) >= WAITING_AGE_MAX;
        let needs_waiting = quotas.bound(Quota::DeliveriesWaiting).is_some();
        if known.as_ref().is_some_and(|counted| !(needs_waiting && is_old(counted))) {
            return Ok(());
        }
        let today = self.store.stats(tenant, StatsQuery::since(day_of(now))).await?;
        self.quota_book.with(|all| {
            let fresh = Counted {
                events: EventCounts::since(today.events, now),
                waiting: 0,
                waiting_at: Timestamp::from_ms(0),
            };
            let counted = all.entry(tenant).or_insert(fresh);
            counted.waiting = today.pending + today.retrying;
            counted.waiting_at = now;
        });
        Ok(())
    }

    /// A refusal in words, and told to the observer.
    pub(super) fn refused_by(&self, full: Exceeded) -> OpsError {
        if let Some(observer) = &self.observer {
            observer.refused(full.quota);
        }
        let Exceeded { quota, bound, used, after } = full;
        let what_next = if after.is_some() { "try again later" } else { "delete what is not needed" };
        OpsError::QuotaExceeded {
            message: format!(
                "the tenant's quota {} is {bound}, and {used} are used; nothing was kept: {what_next}, or ask the \
                 operator for a larger quota",
                quota.name()
            ),
            retry_after: after,
        }
    }

    /// The same; a request that never fits is told so.
    fn told(&self, full: Exceeded, share: Share) -> OpsError {
        let brings = if full.quota == Quota::DeliveriesWaiting { share.deliveries } else { share.events };
        if brings <= full.bound {
            return self.refused_by(full);
        }
        OpsError::TooLarge(format!(
            "this request alone would use {brings} of the tenant's quota {}, which is {}; send fewer events per request",
            full.quota.name(),
            full.bound
        ))
    }
}
