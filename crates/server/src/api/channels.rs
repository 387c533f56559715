//! `/v1/channels`: made, changed, shown, tested, deleted. Secrets are masked; a masked value sent back means unchanged.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use domain::ChannelId;
use domain::outcome::Class;
use engine::ops::{ChannelEdit, ChannelFilter, ChannelShown, ChannelTest, ConfigEdit, NewChannel, TestResult};
use engine::registry::Hold;
use http::StatusCode;
use providers::message::rfc3339;
use providers::pasted;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::attempts::AttemptOut;
use super::channel_rules::{
    BreakerIn, BreakerOut, DigestIn, DigestOut, RateLimitIn, RateLimitOut, RetryIn, RetryOut, TripOut, read_on_unknown,
    read_option,
};
use super::deliveries::DeliveryOut;
use super::extract::{Caller, ChannelsRead, ChannelsWrite, Id, Json, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;
use super::{App, filter};

/// The fields of a channel. With PATCH, absent leaves a field as it is and null clears it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a merge patch")]
#[schema(as = NewChannel)]
pub(crate) struct ChannelIn {
    name: Option<String>,
    provider: Option<String>,
    #[schema(value_type = Option<Object>)]
    config: Option<Map<String, Value>>,
    /// The channel as Apprise writes it, instead of provider and config; the name is then the provider's unless given.
    url: Option<String>,
    is_active: Option<bool>,
    event_types: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    filter: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    subject_template: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    body_template: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RetryIn>)]
    retry: Option<Option<RetryIn>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    time_to_live_seconds: Option<Option<u64>>,
    concurrency: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BreakerIn>)]
    breaker: Option<Option<BreakerIn>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RateLimitIn>)]
    rate_limit: Option<Option<RateLimitIn>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DigestIn>)]
    digest: Option<Option<DigestIn>>,
    fifo: Option<bool>,
    on_unknown: Option<String>,
}

/// Tells null, which is given, from absent, which is not.
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a merge patch")]
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl ChannelIn {
    fn edit(self) -> Result<ChannelEdit, Problem> {
        Ok(ChannelEdit {
            name: self.name,
            config: self.config.map(ConfigEdit::Patch),
            is_active: self.is_active,
            event_types: self.event_types,
            filter: self.filter,
            subject_template: self.subject_template,
            body_template: self.body_template,
            retry: read_option(self.retry, RetryIn::read)?,
            time_to_live: self.time_to_live_seconds.map(|seconds| seconds.map(Duration::from_secs)),
            concurrency: self.concurrency,
            breaker: read_option(self.breaker, BreakerIn::read)?,
            rate_limit: read_option(self.rate_limit, RateLimitIn::read)?,
            digest: read_option(self.digest, DigestIn::read)?,
            is_fifo: self.fifo,
            on_unknown: self.on_unknown.as_deref().map(read_on_unknown).transpose()?,
            wire_config: None,
        })
    }

    /// Puts what a pasted URL says where it belongs.
    fn unpack(&mut self) -> Result<(), Problem> {
        let Some(url) = self.url.take() else { return Ok(()) };
        if self.provider.is_some() || self.config.is_some() {
            return Err(Problem::invalid_field("url", "says the provider and the config: leave those out, or the url"));
        }
        let (provider, config) = pasted::read(&url).map_err(|message| Problem::invalid_field("url", message))?;
        let spec = provider.spec();
        self.name.get_or_insert_with(|| spec.title.to_owned());
        self.provider = Some(spec.name.to_owned());
        self.config = Some(config);
        Ok(())
    }

    fn new_channel(mut self) -> Result<NewChannel, Problem> {
        self.unpack()?;
        let required =
            |field: &str, example: &str| Problem::invalid_field(field, format!("is required, like {example}"));
        Ok(NewChannel {
            name: self.name.take().ok_or_else(|| required("name", "\"Billing system\""))?,
            provider: self.provider.take().ok_or_else(|| required("provider", "\"webhook\""))?,
            config: self.config.take().ok_or_else(|| required("config", "{\"url\": \"https://example.com/hook\"}"))?,
            edit: self.edit()?,
            dialect: None,
            is_managed: false,
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
pub(crate) struct ChannelOut {
    id: i64,
    name: String,
    provider: String,
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    is_active: bool,
    /// Why Postrider holds its deliveries; null when it does not.
    paused: Option<PauseOut>,
    /// That it fails and holds its deliveries, but for a probe now and then; null when it does not.
    tripped: Option<TripOut>,
    event_types: Vec<String>,
    filter: Option<String>,
    subject_template: Option<String>,
    body_template: Option<String>,
    retry: RetryOut,
    time_to_live_seconds: u64,
    concurrency: u32,
    breaker: BreakerOut,
    /// Null: only the provider's own limits hold.
    rate_limit: Option<RateLimitOut>,
    /// Null: every delivery is a message of its own.
    digest: Option<DigestOut>,
    fifo: bool,
    on_unknown: &'static str,
    /// Which face made it; null for this API.
    dialect: Option<String>,
    /// Steered by the settings of that face, and not to be changed here.
    managed: bool,
    created_at: String,
    updated_at: Option<String>,
    /// What the owner should know of the templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
struct PauseOut {
    reason_code: &'static str,
    reason: String,
    since: String,
}

impl From<Hold> for PauseOut {
    fn from(hold: Hold) -> Self {
        let (reason_code, reason) = (hold.code().name(), hold.reason().to_owned());
        Self { reason_code, reason, since: rfc3339(hold.since()) }
    }
}

impl From<ChannelShown> for ChannelOut {
    fn from(shown: ChannelShown) -> Self {
        let (event_types, filter) = shown.routes();
        let ChannelShown { live, config, warnings } = shown;
        let channel = &live.channel;
        let settings = &channel.settings;
        let hold = live.held();
        Self {
            id: channel.id.0,
            name: settings.name.clone(),
            provider: settings.provider.clone(),
            config,
            is_active: settings.is_active,
            paused: hold.map(Into::into),
            tripped: live.tripped().map(Into::into),
            event_types,
            filter,
            subject_template: settings.subject_template.clone(),
            body_template: settings.body_template.clone(),
            retry: (&live.schedule).into(),
            time_to_live_seconds: live.time_to_live.as_secs(),
            concurrency: settings.concurrency,
            breaker: (&*live).into(),
            rate_limit: settings.rate_limit.map(Into::into),
            digest: settings.digest.as_ref().map(Into::into),
            fifo: settings.is_fifo,
            on_unknown: settings.on_unknown.name(),
            dialect: settings.dialect.clone(),
            managed: settings.is_managed,
            created_at: rfc3339(channel.created_at),
            updated_at: channel.updated_at.map(rfc3339),
            warnings,
        }
    }
}

pub(crate) async fn create(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Json(channel): Json<ChannelIn>,
) -> Result<(StatusCode, Answer<ChannelOut>), Problem> {
    let made = engine.create_channel(caller.tenant, channel.new_channel()?).await?;
    Ok((StatusCode::CREATED, Answer(made.into())))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    provider: Option<String>,
    is_active: Option<bool>,
    paused: Option<bool>,
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    Params(query): Params<ListIn>,
) -> Result<Answer<PageOut<ChannelOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let limit = page.limit()?;
    let wanted = ChannelFilter {
        provider: query.provider,
        is_active: query.is_active,
        is_paused: query.paused,
        text: filter::text(query.q.as_deref())?,
        ..ChannelFilter::default()
    };
    let channels = engine.channels(caller.tenant, &wanted, ChannelId(page.after()?.unwrap_or(0)), limit);
    Ok(Answer(PageOut::new(channels, limit, |shown| shown.live.channel.id.0, Into::into)))
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    Id(channel): Id<ChannelId>,
) -> Result<Answer<ChannelOut>, Problem> {
    Ok(Answer(engine.channel(caller.tenant, channel)?.into()))
}

pub(crate) async fn update(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(channel): Id<ChannelId>,
    Json(patch): Json<ChannelIn>,
) -> Result<Answer<ChannelOut>, Problem> {
    if patch.provider.is_some() {
        return Err(Problem::invalid_field("provider", "cannot be changed; make a new channel"));
    }
    if patch.url.is_some() {
        return Err(Problem::invalid_field("url", "makes a new channel; to change this one give its config"));
    }
    Ok(Answer(engine.update_channel(caller.tenant, channel, patch.edit()?).await?.into()))
}

pub(crate) async fn remove(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(channel): Id<ChannelId>,
) -> Result<StatusCode, Problem> {
    engine.delete_channel(caller.tenant, channel).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What came of a test. `ok` is whether the provider took it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Test)]
pub(crate) struct TestOut {
    ok: bool,
    delivery: DeliveryOut,
    /// Null when no answer came in time.
    attempt: Option<AttemptOut>,
}

pub(crate) async fn test(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(channel): Id<ChannelId>,
) -> Result<Answer<TestOut>, Problem> {
    let TestResult { delivery, attempt } = engine.test_channel(caller.tenant, channel, ChannelTest::default()).await?;
    let ok = attempt.as_ref().is_some_and(|attempt| attempt.record.outcome.class == Class::Delivered);
    Ok(Answer(TestOut { ok, delivery: delivery.into(), attempt: attempt.map(Into::into) }))
}
