//! Events of Postrider's own: routed like those of clients, but never to a channel that they tell of.

use std::sync::Arc;

use domain::event::{NewEvent, Severity};
use domain::verdict::{Reason, Verdicts};
use domain::{ChannelId, TenantId, Timestamp};
use sha2::{Digest as _, Sha256};
use store::queue::{AcceptEvent, AcceptRequest, IdempotencyKey};

use super::{admit, route};
use crate::registry::Registry;

/// An event that Postrider tells a tenant.
#[derive(Debug)]
pub(crate) struct OwnEvent {
    pub tenant: TenantId,
    pub event_type: &'static str,
    /// A JSON object.
    pub data: String,
    pub severity: Severity,
    /// The same event whenever it is told again.
    pub key: String,
    /// Channels that it does not go to.
    pub tells_of: Vec<ChannelId>,
}

/// Routes an event and makes it ready to be kept. Its key cannot be one of a client: those hold no line feed.
pub(crate) fn prepare(registry: &Registry, event: OwnEvent, now: Timestamp) -> AcceptRequest {
    let OwnEvent { tenant, event_type, data, severity, key, tells_of } = event;
    let hash: [u8; 32] = Sha256::digest(format!("postrider\n{key}")).into();
    let content = Arc::new(NewEvent {
        tenant,
        event_type: event_type.into(),
        data: data.into(),
        occurred_at: now,
        severity: Some(severity),
        explicit_channels: None,
        trace: None,
    });
    let (routes, config_version) = registry.routes(tenant);
    let mut routed = route(&routes, &content);
    let is_told_of = |channel: &ChannelId| tells_of.contains(channel);
    let told_of: Vec<_> = routed.matched.extract_if(.., |channel| is_told_of(channel)).collect();
    routed.skipped.extend(told_of.into_iter().map(|channel| (channel, Reason::TellsOfChannel)));
    let (deliveries, skipped) = admit(registry, tenant, routed, now);
    let event = AcceptEvent {
        content,
        deliveries,
        verdicts: Verdicts::new(config_version, skipped),
        // What it says of the moment may have moved on; it is the same event.
        key: Some(IdempotencyKey { key_hash: hash, body_hash: hash }),
        attempts_max: None,
    };
    AcceptRequest { tenant, now, key: None, events: vec![event] }
}
