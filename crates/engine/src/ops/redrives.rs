//! Redrives: many deliveries tried again, or made anew, by one order.

use std::sync::Arc;

use domain::delivery::{Delivery, State};
use domain::redrive::{OPEN_MAX, PACE_DEFAULT, PACE_MAX, Progress, Redrive, Source, Wanted};
use domain::{ChannelId, RedriveId, TenantId};
use store::journal::EventSummary;
use store::redrives::{NewRedrive, PastEvent, Steer};

use super::{EXAMINED_MAX, Engine, OpsError};
use crate::dispatch::Input;
use crate::registry::LiveChannel;
use crate::upkeep::redrive;

/// How many of what an order would take are shown before it is given.
const SAMPLE_MAX: usize = 10;

/// Rows read at a time while what an order would take is counted.
const LOOK_ROWS: usize = 500;

/// An order as somebody gives it.
#[derive(Clone, Debug)]
pub struct RedriveRequest {
    pub source: Source,
    pub wanted: Wanted,
    /// Deliveries a second; `None`: [`PACE_DEFAULT`].
    pub pace: Option<u32>,
}

/// What an order would take if it were given now.
#[derive(Debug, Default)]
pub struct RedrivePreview {
    pub count: u64,
    /// There was too much to look through: there are at least so many.
    pub is_lower_bound: bool,
    /// Dead letters, the oldest first; of a digest the one that it would come back with.
    pub deliveries: Vec<Delivery>,
    /// From history: events, the oldest first.
    pub events: Vec<EventSummary>,
}

impl Engine {
    /// Counts what an order would take, and shows some of it. Nothing is kept.
    pub async fn preview_redrive(&self, tenant: TenantId, request: RedriveRequest) -> Result<RedrivePreview, OpsError> {
        let live = self.check_redrive(tenant, &request)?;
        // It reaches to the end of what there is; an order is bounded when it is given.
        let order = Redrive {
            id: RedriveId(0),
            tenant,
            source: request.source,
            wanted: request.wanted,
            pace: PACE_DEFAULT,
            progress: Progress::Running,
            note: String::new(),
            reached: 0,
            up_to: domain::ids::ID_MAX,
            examined: 0,
            redriven: 0,
            skipped: 0,
            created_at: self.clock.now(),
            ended_at: None,
        };
        match live {
            Some(live) => self.preview_events(&order, &live).await,
            None => self.preview_dead(&order).await,
        }
    }

    async fn preview_dead(&self, order: &Redrive) -> Result<RedrivePreview, OpsError> {
        let mut preview = RedrivePreview::default();
        let (mut after, mut examined) = (0, 0);
        loop {
            let stretch = redrive::dead(&*self.store, order, after, LOOK_ROWS).await?;
            (after, examined) = (stretch.reached, examined + stretch.examined);
            for letter in stretch.rows.into_iter().filter(|one| redrive::is_wanted(&self.registry, &order.wanted, one))
            {
                preview.count += redrive::together(&letter);
                if preview.deliveries.len() < SAMPLE_MAX {
                    preview.deliveries.push(letter.delivery);
                }
            }
            preview.is_lower_bound = !stretch.is_end;
            if stretch.is_end || examined >= EXAMINED_MAX as u64 {
                return Ok(preview);
            }
        }
    }

    async fn preview_events(&self, order: &Redrive, live: &LiveChannel) -> Result<RedrivePreview, OpsError> {
        let mut preview = RedrivePreview::default();
        let (mut after, mut examined) = (0, 0);
        loop {
            let bounds = (LOOK_ROWS, LOOK_ROWS);
            let stretch = redrive::events(&*self.store, order, live, after, bounds).await?;
            (after, examined) = (stretch.reached, examined + stretch.examined);
            preview.count += stretch.rows.len() as u64;
            let room = SAMPLE_MAX - preview.events.len();
            preview.events.extend(stretch.rows.iter().take(room).map(summary));
            preview.is_lower_bound = !stretch.is_end;
            if stretch.is_end || examined >= EXAMINED_MAX as u64 {
                return Ok(preview);
            }
        }
    }

    /// Takes an order, and begins to carry it out.
    pub async fn begin_redrive(&self, tenant: TenantId, request: RedriveRequest) -> Result<Redrive, OpsError> {
        self.check_redrive(tenant, &request)?;
        let RedriveRequest { source, wanted, pace } = request;
        let new = NewRedrive { source, wanted, pace: pace.unwrap_or(PACE_DEFAULT) };
        self.check_tenant(tenant)?;
        let begun = self.store.begin_redrive(tenant, new, self.clock.now()).await;
        if begun.is_err() {
            self.look_for_redrives().await;
        }
        let begun = begun?.ok_or_else(|| {
            OpsError::Conflict(format!("there are {OPEN_MAX} redrives that are not over; cancel one, or wait"))
        })?;
        self.dispatch.input(Input::RedriveAsked(tenant, begun.id));
        Ok(begun)
    }

    pub async fn redrive(&self, tenant: TenantId, redrive: RedriveId) -> Result<Redrive, OpsError> {
        self.store.redrive(tenant, redrive).await?.ok_or_else(|| no_redrive(redrive))
    }

    /// Redrives below `before`, newest first.
    pub async fn redrives(
        &self,
        tenant: TenantId,
        before: Option<RedriveId>,
        rows_max: usize,
    ) -> Result<Vec<Redrive>, OpsError> {
        Ok(self.store.redrives(tenant, before, rows_max).await?)
    }

    /// Pauses a redrive, lets it go on, or ends it. What it has taken stays taken.
    pub async fn steer_redrive(&self, tenant: TenantId, redrive: RedriveId, to: Progress) -> Result<Redrive, OpsError> {
        let before = self.redrive(tenant, redrive).await?;
        if before.progress.is_over() && before.progress != to {
            let message = format!("redrive {redrive} is {} and stays so", before.progress.name());
            return Err(OpsError::Conflict(message));
        }
        let note = if to == Progress::Cancelled { "somebody asked for it".to_owned() } else { String::new() };
        let steered = self.store.steer_redrive(tenant, redrive, Steer { to, note, now: self.clock.now() }).await;
        if to == Progress::Running {
            // Also when it failed: it may have been done and only the answer lost.
            self.dispatch.input(Input::RedriveAsked(tenant, redrive));
        }
        steered?.ok_or_else(|| no_redrive(redrive))
    }

    /// After an order whose answer was lost: those that the store has are carried out.
    async fn look_for_redrives(&self) {
        for (tenant, redrive) in self.store.running_redrives().await.unwrap_or_default() {
            self.dispatch.input(Input::RedriveAsked(tenant, redrive));
        }
    }

    /// Checks an order. Gives the channel that gets the events of history.
    fn check_redrive(&self, tenant: TenantId, request: &RedriveRequest) -> Result<Option<Arc<LiveChannel>>, OpsError> {
        let wanted = &request.wanted;
        if request.pace.is_some_and(|pace| !(1..=PACE_MAX).contains(&pace)) {
            return Err(OpsError::invalid("pace_per_second", format!("must be 1 to {PACE_MAX}")));
        }
        if let Some(provider) = &wanted.provider
            && providers::find(provider).is_none()
        {
            return Err(OpsError::invalid("filter.provider", "is no provider"));
        }
        match request.source {
            Source::Dead => {
                if wanted.state.is_some_and(|state| state != State::Dead) {
                    let message = "must be dead: what ended otherwise is delivered anew with from 'history'";
                    return Err(OpsError::invalid("filter.status", message));
                }
                let known = wanted.channel.is_none_or(|channel| self.registry.channel_of(tenant, channel).is_some());
                if known { Ok(None) } else { Err(no_channel("filter.channel_id", wanted.channel)) }
            }
            Source::History => self.check_history(tenant, wanted).map(Some),
        }
    }

    fn check_history(&self, tenant: TenantId, wanted: &Wanted) -> Result<Arc<LiveChannel>, OpsError> {
        let Some(channel) = wanted.channel else {
            return Err(OpsError::invalid(
                "channel_id",
                "is required with from 'history': the channel that gets the events",
            ));
        };
        let live = self.registry.channel_of(tenant, channel);
        let live = live.ok_or_else(|| no_channel("channel_id", wanted.channel))?;
        if !live.channel.settings.is_active {
            return Err(OpsError::Conflict(format!("channel {channel} is switched off; switch it on first")));
        }
        let is_end = |state| matches!(state, State::Sent | State::Cancelled | State::Expired);
        if wanted.state.is_some_and(|state| !is_end(state)) {
            let message = "must be sent, cancelled or expired with from 'history'; without it, events that did not come \
                           to the channel are delivered";
            return Err(OpsError::invalid("filter.status", message));
        }
        if wanted.code.is_some() {
            return Err(OpsError::invalid("filter.code", "is for dead letters: an event has none"));
        }
        if wanted.provider.is_some() {
            return Err(OpsError::invalid("filter.provider", "is for dead letters: channel_id says where events go"));
        }
        Ok(live)
    }
}

fn summary(past: &PastEvent) -> EventSummary {
    let content = &past.event.content;
    EventSummary {
        id: past.event.id,
        event_type: content.event_type.to_string(),
        occurred_at: content.occurred_at,
        accepted_at: past.event.accepted_at,
        severity: content.severity,
        deliveries: 0,
    }
}

fn no_redrive(redrive: RedriveId) -> OpsError {
    OpsError::NotFound(format!("redrive {redrive}"))
}

fn no_channel(field: &str, channel: Option<ChannelId>) -> OpsError {
    OpsError::invalid(field, format!("there is no channel {}", channel.unwrap_or_default()))
}
