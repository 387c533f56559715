//! Deliveries and attempts for faces that count pages and know only some kinds of channel: dead letters, the log of
//! attempts, and the figures of the queue.
//!
//! A page with a number is behind everything before it, so the lists have an end: see [`LOG_ROWS_MAX`] and
//! [`DEAD_LETTERS_MAX`]. Lists by cursor, in `deliveries`, have none.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::delivery::{AttemptResult, Delivery};
use domain::{ChannelId, DeliveryId, TenantId, Timestamp};
use store::journal::{AttemptPage, AttemptPageQuery, DeliveryQuery, StateFilter};

use super::{ChannelShown, Engine, OpsError};
use crate::registry::LiveChannel;

/// The log covers so many of the newest attempts of a tenant, or of the channel that is asked for: what a reader counts
/// in less than a tenth of a second.
pub const LOG_ROWS_MAX: usize = 20_000;

/// The list of dead letters covers so many of a tenant's newest.
pub const DEAD_LETTERS_MAX: usize = 10_000;

/// Dead letters read at a time.
const LOOK_ROWS: usize = 500;

/// Which channels a face knows: those of these providers, without those that a dialect's own settings steer.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    pub providers: &'static [&'static str],
}

/// Which page of the log.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    pub channel: Option<ChannelId>,
    pub provider: Option<String>,
    pub event_type: Option<String>,
    pub result: Option<AttemptResult>,
    /// Rows before the page.
    pub skip: usize,
    pub rows_max: usize,
}

/// A dead letter with what it was to carry.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub delivery: Delivery,
    /// The event's data: a JSON object.
    pub data: Arc<str>,
    /// The attempts that its channel's schedule has.
    pub attempts_max: u32,
}

/// How the queue of a tenant is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Waiting for an attempt, also those that are held.
    pub pending: u64,
    /// Under way.
    pub processing: u64,
    /// Deliveries, since some time.
    pub sent: u64,
    /// Attempts, since then.
    pub failed_attempts: u64,
    pub dead: u64,
}

impl Sight {
    fn shows(self, live: &LiveChannel) -> bool {
        let settings = &live.channel.settings;
        self.providers.contains(&settings.provider.as_str()) && !settings.is_managed
    }
}

impl Engine {
    /// A channel that the face knows.
    pub fn channel_in_sight(
        &self,
        tenant: TenantId,
        sight: Sight,
        channel: ChannelId,
    ) -> Result<ChannelShown, OpsError> {
        let live = self.live_channel(tenant, channel)?;
        if sight.shows(&live) { Ok(self.show(live)) } else { Err(OpsError::no_channel(channel)) }
    }

    /// A page of dead letters, newest first. Those of deleted channels are not shown: nobody can try them again.
    pub async fn dead_letters(
        &self,
        tenant: TenantId,
        sight: Sight,
        skip: usize,
        rows_max: usize,
    ) -> Result<Vec<DeadLetter>, OpsError> {
        let mut letters = Vec::new();
        for (delivery, live) in self.dead_in_sight(tenant, sight, skip, rows_max).await? {
            let event = self.store.event(tenant, delivery.event).await?;
            let data = event.map_or_else(|| "{}".into(), |record| Arc::clone(&record.event.content.data));
            letters.push(DeadLetter { delivery, data, attempts_max: live.schedule.attempts_max() });
        }
        Ok(letters)
    }

    async fn dead_in_sight(
        &self,
        tenant: TenantId,
        sight: Sight,
        skip: usize,
        rows_max: usize,
    ) -> Result<Vec<(Delivery, Arc<LiveChannel>)>, OpsError> {
        let (mut found, mut passed, mut examined, mut before) = (Vec::new(), 0, 0, None::<DeliveryId>);
        while examined < DEAD_LETTERS_MAX && skip < DEAD_LETTERS_MAX {
            let wanted = skip.saturating_add(rows_max).clamp(1, LOOK_ROWS);
            let query = DeliveryQuery { state: Some(StateFilter::Dead), before, ..DeliveryQuery::newest(wanted) };
            let page = self.store.deliveries(tenant, query).await?;
            examined += page.rows.len();
            for delivery in page.rows {
                let live = self.registry.channel_of(tenant, delivery.channel).filter(|live| sight.shows(live));
                let Some(live) = live else { continue };
                if passed >= skip && found.len() < rows_max {
                    found.push((delivery, live));
                }
                passed += 1;
            }
            before = page.next;
            if found.len() == rows_max || before.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Tries a delivery again, as [`Engine::retry_delivery`] does, if the face knows its channel.
    pub async fn retry_in_sight(
        &self,
        tenant: TenantId,
        sight: Sight,
        delivery: DeliveryId,
    ) -> Result<Delivery, OpsError> {
        let channel = self.delivery(tenant, delivery).await?.channel;
        if self.registry.channel_of(tenant, channel).is_some_and(|live| !sight.shows(&live)) {
            return Err(OpsError::NotFound(format!("delivery {delivery}")));
        }
        self.retry_delivery(tenant, delivery).await
    }

    /// A page of attempts, newest first, and how many there are.
    pub async fn attempt_log(&self, tenant: TenantId, sight: Sight, query: LogQuery) -> Result<AttemptPage, OpsError> {
        let managed = |live: &LiveChannel| live.channel.settings.is_managed;
        let managed = self.registry.channels_that(tenant, ChannelId(0), usize::MAX, managed);
        let is_asked = |name: &&&str| query.provider.as_ref().is_none_or(|provider| provider == **name);
        let query = AttemptPageQuery {
            channel: query.channel,
            except: managed.iter().map(|live| live.channel.id).collect(),
            providers: sight.providers.iter().filter(is_asked).map(|name| (*name).to_owned()).collect(),
            event_type: query.event_type,
            result: query.result,
            skip: query.skip,
            rows_max: query.rows_max,
            examined_max: LOG_ROWS_MAX,
        };
        Ok(self.store.attempts_page(tenant, query).await?)
    }

    /// The figures of the queue; what happened is told since the quarter of an hour of `since`. What a channel that was
    /// deleted meanwhile has sent counts, its dead letters do not.
    pub async fn queue_figures(
        &self,
        tenant: TenantId,
        sight: Sight,
        since: Timestamp,
    ) -> Result<QueueFigures, OpsError> {
        let (mut figures, mut waiting, mut channels) = (QueueFigures::default(), 0, BTreeSet::new());
        for one in self.store.stats_by_channel(tenant, since).await? {
            let live = self.registry.channel_of(tenant, one.channel);
            if live.as_ref().is_some_and(|live| !sight.shows(live)) {
                continue;
            }
            figures.sent += one.sent;
            figures.failed_attempts += one.failed_attempts;
            if live.is_some() {
                waiting += one.pending + one.retrying;
                figures.dead += one.dead;
                // What is under way still waits in the table.
                channels.extend((one.pending + one.retrying > 0).then_some(one.channel));
            }
        }
        let under_way = self.dispatch.under_way_count(channels).await;
        // They may have settled since they were summed up.
        figures.processing = u64::try_from(under_way).unwrap_or(u64::MAX).min(waiting);
        figures.pending = waiting - figures.processing;
        Ok(figures)
    }
}
