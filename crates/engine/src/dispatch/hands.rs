//! The hands of the dispatcher: what it wants of the store is done once, and what came of it is the next input.
//!
//! No tasks, no timers, no second tries: the shell runs these in tasks of their own, the simulator polls them itself.
//! A failure goes back to the [`Dispatcher`](super::Dispatcher), which alone decides when to try again.

use std::sync::Arc;

use domain::channel::Pause;
use domain::event::Event;
use domain::lane::{Load, LoadWhat};
use domain::{ChannelId, Clock, DeliveryId, RedriveId, TenantId};
use store::digest::{DigestMember, NewDigest};
use store::directory::ConfigChange;
use store::queue::{Settlement, Waiting};
use store::{Store, StoreError};

use super::digest::{Seal, Sealed};
use super::{Input, Work};
use crate::registry::Registry;
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

    /// Carries out an [`Action::Pause`](super::Action::Pause).
    pub async fn pause(&self, channel: ChannelId, pause: Pause) -> Input {
        let saved = self.store.pause_channel(channel, pause.clone()).await;
        let is_saved = or_warn(saved, "the pause of a channel could not be written").is_some();
        Input::PauseDone(channel, (!is_saved).then_some(pause))
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
