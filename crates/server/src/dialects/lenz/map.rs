//! Between the words of Lenz and the operations of the engine.

use std::time::Duration;

use domain::channel::{DigestRule, RateLimit, RatePeriod};
use domain::schedule::Schedule;
use engine::Engine;
use engine::ops::{ChannelEdit, ChannelShown, ConfigEdit, NewChannel, WireConfig};
use serde_json::{Map, Value};

use super::channel_in::ChannelIn;
use super::error::Error;
use super::wire::{ChannelOut, time};
use super::{NAME, PROVIDERS, config};

const WEBHOOK: &str = "webhook";
const FORMAT: &str = "format";

/// The channel that a client asks for.
pub(super) fn new_channel(engine: &Engine, mut given: ChannelIn) -> Result<NewChannel, Error> {
    let name = given.name.take().ok_or_else(|| Error::required("name"))?;
    let provider = given.provider.take().filter(|name| !name.is_empty()).ok_or_else(|| Error::required("provider"))?;
    let object = given.config.take().ok_or_else(|| Error::required("config"))?;
    check_provider(&provider)?;
    if config::holds_mask(&object) {
        return Err(Error::invalid());
    }
    let mut fields = config::fields(&provider, &object, &Map::new())?;
    if provider == WEBHOOK {
        fields.insert(FORMAT.to_owned(), format_with(given.body_template.as_ref().is_some_and(Option::is_some)));
    }
    let edit = ChannelEdit {
        // Five tries from 30 s, doubling: also of what has longer schedules elsewhere.
        retry: Some(Some(engine.in_proportion(Schedule::chat()))),
        wire_config: Some(WireConfig { dialect: NAME, object }),
        ..settings(given, None, None)
    };
    Ok(NewChannel { name, provider, config: fields, edit, dialect: Some(NAME.to_owned()), is_managed: false })
}

/// The change that a client asks for.
pub(super) fn edit(current: &ChannelShown, mut given: ChannelIn) -> Result<ChannelEdit, Error> {
    let before = &current.live.channel.settings;
    let provider = given.provider.take().filter(|name| !name.is_empty()).unwrap_or_else(|| before.provider.clone());
    check_provider(&provider)?;
    let is_other = provider != before.provider;
    let has_body = given.body_template.as_ref().map_or(before.body_template.is_some(), Option::is_some);
    let changes_body = given.body_template.is_some();
    let (config, wire_config) = match given.config.take() {
        Some(object) if is_other => {
            if config::holds_mask(&object) {
                return Err(Error::invalid());
            }
            let mut fields = config::fields(&provider, &object, &Map::new())?;
            if provider == WEBHOOK {
                fields.insert(FORMAT.to_owned(), format_with(has_body));
            }
            (Some(ConfigEdit::Provider(provider, fields)), Some(object))
        }
        Some(object) => {
            let object = config::unmasked(object, &provider, &clear_object(current))?;
            let mut fields = config::fields(&provider, &object, &current.clear_config())?;
            fields.extend(format_after(current, has_body));
            (Some(ConfigEdit::Patch(fields)), Some(object))
        }
        None if is_other => return Err(Error::required("config")),
        None => {
            let format = format_after(current, has_body).filter(|_| changes_body);
            (format.map(|format| ConfigEdit::Patch([format].into_iter().collect())), current.wire_config(NAME))
        }
    };
    Ok(ChannelEdit {
        name: given.name.take(),
        config,
        wire_config: wire_config.map(|object| WireConfig { dialect: NAME, object }),
        ..settings(given, before.rate_limit, before.digest.as_ref())
    })
}

fn check_provider(name: &str) -> Result<(), Error> {
    if PROVIDERS.contains(&name) { Ok(()) } else { Err(Error::invalid()) }
}

/// What is the same for a new channel and a change.
fn settings(given: ChannelIn, rate_limit: Option<RateLimit>, digest: Option<&DigestRule>) -> ChannelEdit {
    ChannelEdit {
        is_active: given.is_active,
        rate_limit: given.rate_limit.and_then(|count| changed_rate(count, rate_limit)),
        digest: changed_digest(&given, digest),
        subject_template: given.subject_template,
        body_template: given.body_template,
        ..ChannelEdit::default()
    }
}

/// What a webhook's body is: its template, when it has one.
fn format_with(has_body: bool) -> Value {
    Value::from(if has_body { "template" } else { "standard" })
}

/// The format of a webhook, when it must change. Those of other dialects stay as they are.
fn format_after(current: &ChannelShown, has_body: bool) -> Option<(String, Value)> {
    let fields = current.clear_config();
    let format = fields.get(FORMAT)?;
    let (is_ours, wanted) = (*format == "standard" || *format == "template", format_with(has_body));
    (is_ours && *format != wanted).then(|| (FORMAT.to_owned(), wanted))
}

/// Messages per minute; one that is slower than one per minute is one.
fn shown_rate(limit: Option<RateLimit>) -> u64 {
    limit.map_or(0, |limit| match limit.per {
        RatePeriod::Second => u64::from(limit.count) * 60,
        RatePeriod::Minute => u64::from(limit.count),
        RatePeriod::Hour => u64::from(limit.count.div_ceil(60)),
    })
}

/// A limit that comes back as it was shown is left as it is: it may say more than Lenz can.
#[expect(clippy::option_option, reason = "what a change of a channel takes")]
fn changed_rate(count: u32, current: Option<RateLimit>) -> Option<Option<RateLimit>> {
    let limit = (count > 0).then_some(RateLimit { count, per: RatePeriod::Minute, burst: None });
    (u64::from(count) != shown_rate(current)).then_some(limit)
}

/// The same of a digest.
#[expect(clippy::option_option, reason = "what a change of a channel takes")]
fn changed_digest(given: &ChannelIn, current: Option<&DigestRule>) -> Option<Option<DigestRule>> {
    let none =
        DigestRule { is_enabled: false, window: Duration::ZERO, items_max: 0, immediate_from: None, group_by: None };
    let before = current.unwrap_or(&none);
    let after = DigestRule {
        is_enabled: given.batch_enabled.unwrap_or(before.is_enabled),
        window: given.batch_window_seconds.map_or(before.window, Duration::from_secs),
        items_max: given.batch_max_size.unwrap_or(before.items_max),
        ..before.clone()
    };
    if after == *before {
        return None;
    }
    Some((after != none).then_some(after))
}

/// The config as its clients know it, with its secrets.
fn clear_object(shown: &ChannelShown) -> Map<String, Value> {
    let provider = &shown.live.channel.settings.provider;
    shown.wire_config(NAME).unwrap_or_else(|| config::canonical(provider, &shown.clear_config()))
}

/// A channel as Lenz shows it; with its secrets to those who may change it.
pub(super) fn channel(shown: &ChannelShown, may_write: bool) -> ChannelOut {
    let channel = &shown.live.channel;
    let settings = &channel.settings;
    let object = clear_object(shown);
    let digest = settings.digest.as_ref();
    ChannelOut {
        id: channel.id.0,
        name: settings.name.clone(),
        provider: settings.provider.clone(),
        config: if may_write { object } else { config::masked(&settings.provider, &object) },
        is_active: settings.is_active,
        subject_template: settings.subject_template.clone(),
        body_template: settings.body_template.clone(),
        rate_limit: shown_rate(settings.rate_limit),
        batch_enabled: digest.is_some_and(|rule| rule.is_enabled),
        batch_window_seconds: digest.map_or(0, |rule| rule.window.as_secs()),
        batch_max_size: digest.map_or(0, |rule| rule.items_max),
        created_at: time(channel.created_at),
        updated_at: channel.updated_at.map(time),
        deleted_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limit(count: u32, per: RatePeriod) -> RateLimit {
        RateLimit { count, per, burst: Some(3) }
    }

    #[test]
    fn limits_are_per_minute_and_stay_as_they_are_when_they_come_back() {
        for (current, shown) in [
            (None, 0),
            (Some(limit(2, RatePeriod::Second)), 120),
            (Some(limit(7, RatePeriod::Minute)), 7),
            (Some(limit(61, RatePeriod::Hour)), 2),
        ] {
            assert_eq!(shown_rate(current), u64::from(shown));
            assert_eq!(changed_rate(shown, current), None);
            let changed = RateLimit { count: 9, per: RatePeriod::Minute, burst: None };
            assert_eq!(changed_rate(9, current), Some(Some(changed)));
        }
        assert_eq!(changed_rate(0, Some(limit(7, RatePeriod::Minute))), Some(None));
    }

    #[test]
    fn digests_are_changed_field_by_field() {
        let given = |enabled, window, items| ChannelIn {
            batch_enabled: enabled,
            batch_window_seconds: window,
            batch_max_size: items,
            ..ChannelIn::default()
        };
        let rule = DigestRule {
            is_enabled: true,
            window: Duration::from_secs(30),
            items_max: 5,
            immediate_from: None,
            group_by: Some("a".to_owned()),
        };
        assert_eq!(changed_digest(&given(None, None, None), Some(&rule)), None);
        assert_eq!(changed_digest(&given(Some(true), Some(30), Some(5)), Some(&rule)), None);
        assert_eq!(changed_digest(&given(Some(false), Some(0), Some(0)), None), None);
        let longer = DigestRule { window: Duration::from_secs(60), ..rule.clone() };
        assert_eq!(changed_digest(&given(None, Some(60), None), Some(&rule)), Some(Some(longer)));
        let plain = DigestRule { group_by: None, ..rule.clone() };
        assert_eq!(changed_digest(&given(Some(true), Some(30), Some(5)), None), Some(Some(plain.clone())));
        assert_eq!(changed_digest(&given(Some(false), Some(0), Some(0)), Some(&plain)), Some(None));
    }
}
