//! Subscriptions one by one. A channel's `event_types` and `filter` are a shorthand for all of its own.

use std::sync::Arc;

use domain::routing::{Pattern, Subscription};
use domain::{ChannelId, SubscriptionId, TenantId};
use store::directory::{ChannelWithRoutes, NewRoute};

use super::channel_edit::EVENT_TYPES_MAX;
use super::{Engine, OpsError};
use crate::accept::filter::Filter;
use crate::dispatch::Input;

/// A subscription to be made.
#[derive(Debug)]
pub struct NewSubscription {
    pub channel: ChannelId,
    pub event_type: String,
    pub filter: Option<String>,
}

impl Engine {
    /// Valid subscriptions in order of id, those above `after`; of one channel or of all.
    pub fn subscriptions(
        &self,
        tenant: TenantId,
        channel: Option<ChannelId>,
        after: SubscriptionId,
        rows_max: usize,
    ) -> Result<Vec<Subscription>, OpsError> {
        let channels = match channel {
            Some(channel) => vec![self.live_channel(tenant, channel)?],
            None => self.registry.channels(tenant, ChannelId(0), usize::MAX),
        };
        let all = channels.iter().flat_map(|live| &live.subscriptions).filter(|one| one.id > after);
        let mut page: Vec<&Subscription> = all.collect();
        if page.len() > rows_max {
            page.select_nth_unstable_by_key(rows_max, |one| one.id);
            page.truncate(rows_max);
        }
        page.sort_unstable_by_key(|one| one.id);
        Ok(page.into_iter().cloned().collect())
    }

    pub fn subscription(&self, tenant: TenantId, subscription: SubscriptionId) -> Result<Subscription, OpsError> {
        let below = SubscriptionId(subscription.0 - 1);
        let next = self.subscriptions(tenant, None, below, 1)?.pop();
        next.filter(|found| found.id == subscription).ok_or_else(|| no_subscription(subscription))
    }

    /// Begins a subscription; it holds for events that are accepted from now on.
    pub async fn create_subscription(&self, tenant: TenantId, new: NewSubscription) -> Result<Subscription, OpsError> {
        let pattern = Pattern::parse(&new.event_type).map_err(|error| {
            OpsError::invalid("event_type", format!("{error}; patterns are '*', 'prefix.*' or a type"))
        })?;
        if let Some(text) = &new.filter {
            Filter::compile(text).map_err(|message| OpsError::invalid("filter", message))?;
        }
        let _changing = self.changing.lock().await;
        let live = self.own_channel(tenant, new.channel).map_err(|error| match error {
            OpsError::NotFound(_) => OpsError::invalid("channel_id", format!("there is no channel {}", new.channel)),
            other => other,
        })?;
        if live.subscriptions.len() >= EVENT_TYPES_MAX {
            let message = format!("channel {} has {EVENT_TYPES_MAX} subscriptions already", new.channel);
            return Err(OpsError::Conflict(message));
        }
        let filter: Option<Arc<str>> = new.filter.map(Into::into);
        let changed = self.store.add_subscription(tenant, new.channel, NewRoute { pattern, filter }).await;
        let changed = self.or_take_from_store(new.channel, changed).await?;
        let changed = changed.ok_or_else(|| OpsError::no_channel(new.channel))?;
        let newest = changed.subscriptions.iter().max_by_key(|one| one.id).cloned();
        self.take_routes(changed)?;
        newest.ok_or_else(|| OpsError::Internal("a subscription was made and is not there".to_owned()))
    }

    /// Ends a subscription. What was accepted before is delivered all the same.
    pub async fn delete_subscription(&self, tenant: TenantId, subscription: SubscriptionId) -> Result<(), OpsError> {
        let _changing = self.changing.lock().await;
        let channel = self.subscription(tenant, subscription)?.channel;
        self.own_channel(tenant, channel)?;
        let changed = self.store.end_subscription(tenant, subscription).await;
        let changed = self.or_take_from_store(channel, changed).await?;
        self.take_routes(changed.ok_or_else(|| no_subscription(subscription))?)
    }

    fn take_routes(&self, changed: ChannelWithRoutes) -> Result<(), OpsError> {
        let channel = changed.channel.id;
        self.registry.put_channel(changed)?;
        self.dispatch.input(Input::ChannelChanged(channel));
        Ok(())
    }
}

fn no_subscription(subscription: SubscriptionId) -> OpsError {
    OpsError::NotFound(format!("subscription {subscription}"))
}
