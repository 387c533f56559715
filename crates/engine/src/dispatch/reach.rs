//! How far an outcome reaches: one channel, or every channel with its credential or provider.
//!
//! A refusal that concerns a credential pauses each channel that uses it, so that each owner sees why; a throttled answer
//! blocks its scope in the lanes, where no channel has to be looked for.

use std::sync::Arc;

use domain::channel::Pause;
use domain::outcome::{ConfigPatch, Scope};
use domain::{DeliveryId, ReasonCode, Secret, Timestamp};
use store::directory::ConfigChange;

use super::announce::Moment;
use super::decide::ForChannel;
use super::{Action, Dispatcher};
use crate::registry::LiveChannel;

/// What an outcome is of.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub delivery: DeliveryId,
    /// It tells of a channel itself: what comes of it is not told.
    pub is_own: bool,
}

impl Dispatcher {
    /// Does what follows from an outcome beyond its delivery. `used` is the channel as it was when the try began.
    pub(super) fn reach(&mut self, used: &Arc<LiveChannel>, from: Origin, follows: ForChannel, now: Timestamp) {
        let channel = used.channel.id;
        let Origin { delivery, is_own } = from;
        match follows {
            ForChannel::GoOn => {}
            ForChannel::GoOnWithThis => self.lanes.go_on_with(channel, delivery),
            ForChannel::BlockUntil(scope, until) => self.block(used, scope, until),
            ForChannel::Pause(scope, reason) => {
                let code = match scope {
                    Scope::Credential => ReasonCode::CredentialsRefused,
                    Scope::Message | Scope::Channel | Scope::Provider => ReasonCode::ChannelRefused,
                };
                self.pause_scope(used, scope, &Pause { code, reason, since: now }, !is_own);
            }
        }
    }

    /// Blocks what a throttled answer speaks of: at least the channel itself.
    fn block(&mut self, used: &LiveChannel, scope: Scope, until: Timestamp) {
        let shared = match scope {
            Scope::Message | Scope::Channel => used.scopes.place,
            Scope::Credential => used.scopes.credential,
            Scope::Provider => used.scopes.provider,
        };
        match shared {
            Some(shared) => self.lanes.block_scope(shared, until),
            None => self.lanes.block(used.channel.id, until),
        }
    }

    /// Pauses a channel, and with a credential that is refused all others that use it.
    fn pause_scope(&mut self, used: &Arc<LiveChannel>, scope: Scope, pause: &Pause, is_told: bool) {
        let has_paused = self.pause(used, pause.clone(), is_told);
        let Some(credential) = used.scopes.credential.filter(|_| has_paused && scope == Scope::Credential) else {
            return;
        };
        let reason = format!("{} (found out by another channel with the same credential)", pause.reason);
        for other in self.registry.running_with_credential(credential) {
            self.pause(&other, Pause { reason: reason.clone(), ..pause.clone() }, is_told);
        }
    }

    /// Pauses a channel, unless its owner has changed it since: the new config has not been tried. Returns whether it did.
    fn pause(&mut self, used: &Arc<LiveChannel>, pause: Pause, is_told: bool) -> bool {
        let channel = used.channel.id;
        if !self.registry.pause(used, pause.clone()) {
            return false;
        }
        tracing::warn!(%channel, reason = %pause.reason, "channel paused: everything sent to it is refused");
        if self.paused.insert(channel) {
            self.lanes.pause(channel);
            self.digests.forget(channel);
        }
        self.begin_hold(channel);
        self.announce(Moment::Disabled(used.channel.tenant, channel, pause), is_told);
        true
    }

    /// Takes over what a provider says of a channel's config, unless its owner has changed it since.
    pub(super) fn reconfigure(&mut self, used: &Arc<LiveChannel>, patch: &ConfigPatch, now: Timestamp) {
        let config = used.config.patched(patch);
        if self.registry.reconfigure(used, &config) {
            let (tenant, channel) = (used.channel.tenant, used.channel.id);
            tracing::info!(%channel, field = patch.key, value = %patch.value, "config changed: the provider says so");
            let before = used.channel.settings.config.clone();
            let after = Secret::new(config.to_json());
            self.actions.push(Action::Reconfigure(ConfigChange { tenant, channel, before, after }));
            // Its messages are counted elsewhere from now on.
            self.channel_changed(channel, now);
        }
    }

    pub(super) fn reconfigure_done(&mut self, failed: Option<ConfigChange>, now: Timestamp) {
        if let Some(change) = failed {
            self.unsaved_configs.push(change);
            self.rest(now);
        }
    }
}
