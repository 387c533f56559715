//! Warnings about channels: what their providers know, and names in templates that no event of theirs is known to have.
//!
//! A warning never refuses anything, because a description of an event type promises nothing.

use std::collections::BTreeSet;

use domain::TenantId;
use domain::event_type::EventType;
use domain::routing::Pattern;

use super::Engine;
use crate::registry::LiveChannel;
use crate::render;

impl Engine {
    /// What the owner of a channel should know about it.
    pub(super) fn warnings(&self, tenant: TenantId, live: &LiveChannel) -> Vec<String> {
        let mut warnings = live.provider.0.warnings(&live.config, live.channel.settings.body_template.as_deref());
        warnings.extend(digest_warnings(live));
        warnings.extend(self.template_warnings(tenant, live));
        warnings
    }

    fn template_warnings(&self, tenant: TenantId, live: &LiveChannel) -> Vec<String> {
        let settings = &live.channel.settings;
        let templates = [("subject_template", &settings.subject_template), ("body_template", &settings.body_template)];
        if templates.iter().all(|(_, template)| template.is_none()) {
            return Vec::new();
        }
        let described = self.event_types(tenant, "", usize::MAX);
        let is_own = described.iter().any(|shown| !shown.is_built_in);
        let is_heard = |event_type: &EventType, pattern: &Pattern| pattern.matches(&event_type.name);
        let patterns: Vec<&Pattern> = live.subscriptions.iter().map(|one| &one.pattern).collect();
        let is_exact = |pattern: &Pattern| matches!(pattern, Pattern::Exact(_));
        // Who describes no types, and hears of more than single ones, may get anything.
        let may_be_anything = !is_own && !patterns.iter().all(|pattern| is_exact(pattern));
        let heard: Vec<&EventType> = described
            .iter()
            .map(|shown| &shown.event_type)
            .filter(|event_type| patterns.iter().any(|pattern| is_heard(event_type, pattern)))
            .collect();
        if heard.is_empty() || may_be_anything {
            return Vec::new();
        }
        let known: BTreeSet<&str> =
            heard.iter().flat_map(|event_type| event_type.variables()).map(|variable| top(&variable.key)).collect();
        let mut warnings = Vec::new();
        for (field, template) in templates {
            let names = template.as_deref().map(render::names).unwrap_or_default();
            let unknown = names.iter().filter(|name| !known.contains(name.as_str()));
            warnings.extend(
                unknown.map(|name| {
                    format!("{field}: no event type that this channel hears has {name:?}; it prints nothing")
                }),
            );
        }
        warnings
    }
}

/// What a digest rule does not do.
fn digest_warnings(live: &LiveChannel) -> Vec<String> {
    let Some(rule) = live.channel.settings.digest.as_ref().filter(|rule| rule.merges()) else { return Vec::new() };
    let mut warnings = Vec::new();
    if !live.provider.0.merges(&live.config) {
        let warning =
            "digest: what this channel sends has no place for a second event, so each delivery goes by itself";
        warnings.push(warning.to_owned());
    } else if rule.window >= live.time_to_live {
        let warning = "digest: deliveries expire before the window ends: make it shorter than time_to_live_seconds";
        warnings.push(warning.to_owned());
    }
    warnings
}

/// The name on the top level that a key leads through.
fn top(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}
