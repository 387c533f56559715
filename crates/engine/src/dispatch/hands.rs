//! The hands of the dispatcher: what it wants of the store is done once, and what came of it is the next input.
//!
//! No tasks, no timers, no second tries: the shell runs these in tasks of their own, the simulator polls them itself.
//! A failure goes back to the [`Dispatcher`](super::Dispatcher), which alone decides when to try again.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::event::Event;
use domain::lane::{Load, LoadWhat};
use domain::{Clock, DeliveryId, ReasonCode, RedriveId, TenantId};
use store::digest::{DigestMember, NewDigest};
use store::directory::ConfigChange;
use store::journal::StatsQuery;
use store::queue::{AcceptAnswer, Settlement, Trimmed, Waiting};
use store::{Store, StoreError};

use super::announce::{Announcement, Moment};
use super::digest::{Seal, Sealed};
use super::{Input, Work};
use crate::accept::own;
use crate::operational;
use crate::registry::{LiveChannel, Registry};
use crate::render::digest::DigestRow;
use crate::upkeep;

/// Rows in one slice of work: a slice holds the writer for a few milliseconds.
const SLICE_ROWS: usize = 500;

/// What the dispatcher's actions are carried out with.
pub struct Hands {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub registry: Arc<Registry>,
}

impl Hands {
    /// Carries out an [`Action::Settle`](super::Action::Settle).
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Input {
        let settlements: Arc<[Settlement]> = settlements.into();
        match self.store.settle(Arc::clone(&settlements)).await {
            Ok(()) => Input::Settled(settlements),
            Err(error) => {
                let results = settlements.len();
                tracing::warn!(%error, results, "results could not be written; they are kept and tried again");
                Input::SettleFailed(settlements)
            }
        }
    }

    /// Carries out an [`Action::Load`](super::Action::Load).
    pub async fn load(&self, load: Load) -> Input {
        let found = self.read(&load).await;
        Input::Loaded(load, or_warn(found, "the queue could not be read"))
    }

    /// Carries out an [`Action::Announce`](super::Action::Announce), as far as the store takes it.
    pub async fn announce(&self, announcements: Vec<Announcement>) -> Input {
        let mut left = VecDeque::from(announcements);
        let mut expands = false;
        while let Some(next) = left.front() {
            let Some(has_more) = or_warn(self.keep(next).await, "what owners are told could not be written") else {
                break;
            };
            expands |= has_more;
            left.pop_front();
        }
        Input::Announced(left.into(), expands)
    }

    /// Keeps an announcement: the event, and then the state that a start goes on with. Returns whether deliveries of the
    /// event are still to be made.
    async fn keep(&self, announcement: &Announcement) -> Result<bool, StoreError> {
        let Announcement { moment, is_told } = announcement;
        // Of a channel that was deleted meanwhile nobody wants to hear.
        let Some(live) = self.registry.channel(moment.channel()) else { return Ok(false) };
        let expands = if *is_told { self.tell(moment, &live).await? } else { false };
        let channel = live.channel.id;
        // Unless its owner has changed it since.
        let Some(live) = self.registry.channel(channel) else { return Ok(expands) };
        let tripped = live.tripped().map(|trip| trip.since);
        match moment {
            Moment::Tripped(.., trip) if tripped == Some(trip.since) => {
                self.store.trip_channel(channel, Some(trip.clone())).await?;
            }
            Moment::Recovered(..) if tripped.is_none() => self.store.trip_channel(channel, None).await?,
            Moment::Disabled(.., pause) if live.channel.pause.as_ref() == Some(pause) => {
                self.store.pause_channel(channel, pause.clone()).await?;
            }
            _ => {}
        }
        Ok(expands)
    }

    async fn tell(&self, moment: &Moment, live: &LiveChannel) -> Result<bool, StoreError> {
        let (tenant, channel, now) = (moment.tenant(), live.channel.id, self.clock.now());
        let waiting = self.store.stats(tenant, StatsQuery { channel: Some(channel), ..StatsQuery::since(now) }).await?;
        let shared = live
            .scopes
            .credential
            .filter(|_| matches!(moment, Moment::Disabled(.., pause) if pause.code == ReasonCode::CredentialsRefused));
        let mut tells_of = shared.map_or_else(Vec::new, |credential| self.registry.with_credential(credential));
        tells_of.push(channel);
        let event = operational::event_of(moment, live, waiting.pending + waiting.retrying, tells_of);
        match self.store.accept(own::prepare(&self.registry, event, now)).await {
            Ok(AcceptAnswer::Kept(kept)) => Ok(kept.iter().any(|event| event.expanding > 0)),
            // Neither can become otherwise: nobody else has such keys, and a tenant that was deleted is gone.
            Ok(AcceptAnswer::KeyReused(_)) | Err(StoreError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Carries out an [`Action::Reconfigure`](super::Action::Reconfigure).
    pub async fn reconfigure(&self, change: ConfigChange) -> Input {
        let saved = self.store.replace_config(change.clone(), self.clock.now()).await;
        let is_saved = or_warn(saved, "what a provider says of a channel's config could not be written").is_some();
        Input::ReconfigureDone((!is_saved).then_some(change))
    }

    /// Carries out an [`Action::Seal`](super::Action::Seal).
    pub async fn seal(&self, seal: Seal) -> Input {
        let sealed = or_warn(self.make_digest(&seal).await, "a digest could not be sealed");
        Input::SealDone(seal, sealed)
    }

    /// Reads what a window has collected, renders it and has it written down.
    async fn make_digest(&self, seal: &Seal) -> Result<Sealed, StoreError> {
        let now = self.clock.now();
        let Some(live) = self.registry.channel(seal.channel) else { return Ok(Sealed::Changed) };
        let asked = seal.closed.members.clone();
        let rows = self.store.waiting_these(seal.channel, asked.clone(), now).await?;
        let is_fresh = |row: &Waiting| row.tries == 0 && row.digest.is_none() && row.expires_at > now;
        let fresh = rows.iter().filter(|row| is_fresh(row));
        let fresh: Vec<_> = fresh.filter_map(|row| Some((row, row.event.as_deref()?))).collect();
        if fresh.len() < 2 {
            return Ok(Sealed::Alone(asked));
        }
        let events: Vec<_> = fresh.iter().map(|(_, event)| *event).collect();
        let (content, taken) = DigestRow::render(&live, &events);
        let taken = &fresh[..taken];
        if let [(alone, _)] = taken {
            return Ok(Sealed::Alone(vec![alone.delivery]));
        }
        let digest = NewDigest {
            tenant: live.channel.tenant,
            channel: seal.channel,
            key: seal.closed.key.clone(),
            opened_at: seal.closed.opened_at,
            closes_at: seal.closed.closes_at,
            sealed_at: now,
            expires_at: taken.iter().map(|(row, _)| row.expires_at).max().unwrap_or(now),
            members: taken.iter().map(|(row, event)| member_of(row, event)).collect(),
            body: content.to_text(),
        };
        let members = digest.members.iter().map(|member| member.delivery).collect();
        Ok(match self.store.seal_digest(digest).await? {
            Some(id) => Sealed::Digest(id, members),
            None => Sealed::Changed,
        })
    }

    /// Carries out an [`Action::Work`](super::Action::Work).
    pub async fn work(&self, work: Work, under_way: Vec<DeliveryId>) -> Input {
        let now = self.clock.now();
        let done = match work {
            Work::Expand => self.store.expand(SLICE_ROWS).await,
            Work::Retain => self.store.retain_slice(self.registry.retention().kept_since(now)).await,
            Work::Purge => self.store.purge_slice(SLICE_ROWS).await,
            Work::Cancel(channel) => self.store.cancel_slice(channel, under_way, now, SLICE_ROWS).await,
            Work::Expire(channel) => self.store.expire_slice(channel, under_way, now, SLICE_ROWS).await,
            Work::Trim(channel) => {
                let Some(live) = self.registry.channel(channel) else {
                    return Input::Trimmed(channel, Some(Trimmed { has_more: false, waiting: 0 }));
                };
                let trimmed = self.store.trim_slice(channel, under_way, live.held_bounds(now), now, SLICE_ROWS).await;
                return Input::Trimmed(channel, or_warn(trimmed, "what a channel holds could not be trimmed"));
            }
        };
        Input::WorkDone(work, or_warn(done, "a slice of work could not be done"))
    }

    /// Carries out an [`Action::Redrive`](super::Action::Redrive).
    pub async fn redrive(&self, tenant: TenantId, redrive: RedriveId) -> Input {
        let now = self.clock.now();
        let sliced = upkeep::redrive::slice(&*self.store, &self.registry, (tenant, redrive), now).await;
        Input::Redriven(tenant, redrive, sliced)
    }

    async fn read(&self, load: &Load) -> Result<Vec<Waiting>, StoreError> {
        let now = self.clock.now();
        match &load.what {
            LoadWhat::After(after) => self.store.waiting_after(load.channel, *after, now, load.items_max).await,
            LoadWhat::Before(before) => self.store.waiting_before(load.channel, *before, now, load.items_max).await,
            LoadWhat::These(deliveries) => self.store.waiting_these(load.channel, deliveries.clone(), now).await,
        }
    }
}

fn member_of(row: &Waiting, event: &Event) -> DigestMember {
    DigestMember {
        delivery: row.delivery,
        event: event.id,
        event_type: Arc::clone(&event.content.event_type),
        created_at: row.created_at,
    }
}

fn or_warn<T>(result: Result<T, StoreError>, what: &str) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "{what}; trying again")).ok()
}
