//! `/v1/tenants`: tenants and their keys, for the platform.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use domain::quotas::{BOUND_MAX, Quota, Quotas};
use domain::tenant::{Key, Scope, Tenant};
use domain::{KeyId, Secret, TenantId};
use engine::ops::{KeyRequest, ProvidersEdit, QuotasEdit, TenantEdit};
use http::StatusCode;
use providers::message::{parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::channels::given;
use super::extract::{Json, Params, PathParts, Platform};
use super::page::{PageIn, PageOut};
use super::problem::Problem;
use super::quotas::QuotasOut;
use super::{App, filter};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct TenantOut {
    id: i64,
    slug: String,
    name: String,
    email: Option<String>,
    /// Those that its channels may have; null: every one.
    providers: Option<Vec<String>>,
    /// Its own quotas, by name; those that it lacks are the server's.
    quotas: BTreeMap<&'static str, u64>,
    /// Since when its keys are refused and nothing is sent for it; null when it is not suspended.
    suspended_at: Option<String>,
    created_at: String,
    updated_at: Option<String>,
}

impl From<Tenant> for TenantOut {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.0,
            slug: tenant.slug,
            name: tenant.name,
            email: tenant.email,
            providers: tenant.providers,
            quotas: Quota::ALL.iter().filter_map(|one| Some((one.name(), tenant.quotas.get(*one)?))).collect(),
            suspended_at: tenant.suspended_at.map(rfc3339),
            created_at: rfc3339(tenant.created_at),
            updated_at: tenant.updated_at.map(rfc3339),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a list are three things")]
#[schema(as = NewTenant)]
pub(crate) struct TenantIn {
    /// Only with POST; with PUT it stands in the path.
    slug: Option<String>,
    name: Option<String>,
    email: Option<String>,
    /// Those that its channels may have. Absent leaves that as it is, null allows every one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    providers: Option<Option<Vec<String>>>,
    /// Its own quotas, by name: `events_per_minute`, `events_per_day`, `deliveries_waiting`, `channels`; 0 is no bound.
    /// Those that are left out are the server's. Absent leaves them all as they are.
    quotas: Option<BTreeMap<String, u64>>,
}

impl TenantIn {
    fn edit(self, slug: &str) -> Result<TenantEdit, Problem> {
        Ok(TenantEdit {
            quotas: self.quotas.map_or(Ok(QuotasEdit::Keep), |named| quotas(&named).map(QuotasEdit::Set))?,
            name: self.name.unwrap_or_else(|| slug.to_owned()),
            email: self.email,
            providers: match self.providers {
                None => ProvidersEdit::Keep,
                Some(None) => ProvidersEdit::Every,
                Some(Some(names)) => ProvidersEdit::Only(names),
            },
        })
    }
}

fn quotas(named: &BTreeMap<String, u64>) -> Result<Quotas, Problem> {
    named.iter().try_fold(Quotas::default(), |quotas, (name, bound)| {
        let wrong = |detail: String| Problem::invalid_field(&format!("quotas.{name}"), detail);
        let unknown = || wrong(format!("is not one of: {}", Quota::ALL.map(Quota::name).join(", ")));
        let quota = Quota::parse(name).ok_or_else(unknown)?;
        if *bound > BOUND_MAX {
            return Err(wrong(format!("must be at most {BOUND_MAX}; 0 is no bound")));
        }
        Ok(quotas.with(quota, Some(*bound)))
    })
}

pub(crate) async fn put(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
    Json(tenant): Json<TenantIn>,
) -> Result<Answer<TenantOut>, Problem> {
    Ok(Answer(engine.put_tenant(&slug, tenant.edit(&slug)?).await?.into()))
}

pub(crate) async fn create(
    State(engine): State<App>,
    _: Platform,
    Json(mut tenant): Json<TenantIn>,
) -> Result<(StatusCode, Answer<TenantOut>), Problem> {
    let slug = tenant.slug.take().ok_or_else(|| Problem::invalid_field("slug", "is required, like \"acme\""))?;
    let made = engine.put_tenant(&slug, tenant.edit(&slug)?).await?;
    Ok((StatusCode::CREATED, Answer(made.into())))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list(
    State(engine): State<App>,
    _: Platform,
    Params(query): Params<ListIn>,
) -> Result<Answer<PageOut<TenantOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let limit = page.limit()?;
    let text = filter::text(query.q.as_deref())?;
    let tenants = engine.tenants(text.as_ref(), TenantId(page.after()?.unwrap_or(0)), limit);
    Ok(Answer(PageOut::new(tenants, limit, |tenant| tenant.id.0, Into::into)))
}

pub(crate) async fn show(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
) -> Result<Answer<TenantOut>, Problem> {
    Ok(Answer(find(&engine, &slug)?.into()))
}

pub(crate) async fn show_quotas(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
) -> Result<Answer<QuotasOut>, Problem> {
    let tenant = find(&engine, &slug)?;
    Ok(Answer(QuotasOut::of(engine.quotas(tenant.id).await?)))
}

pub(crate) async fn suspend(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
) -> Result<Answer<TenantOut>, Problem> {
    let tenant = find(&engine, &slug)?;
    Ok(Answer(engine.suspend_tenant(tenant.id).await?.into()))
}

pub(crate) async fn resume(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
) -> Result<Answer<TenantOut>, Problem> {
    let tenant = find(&engine, &slug)?;
    Ok(Answer(engine.resume_tenant(tenant.id).await?.into()))
}

/// Its keys and channels are gone with the answer; its data is erased after it.
pub(crate) async fn remove(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
) -> Result<StatusCode, Problem> {
    let tenant = find(&engine, &slug)?;
    engine.delete_tenant(tenant.id).await?;
    Ok(StatusCode::ACCEPTED)
}

fn find(engine: &App, slug: &str) -> Result<Tenant, Problem> {
    engine.tenant(slug).ok_or_else(|| Problem::not_found(format!("there is no tenant {slug:?}")))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub(crate) struct KeyIn {
    name: String,
    scopes: Vec<String>,
    username: Option<String>,
    expires_at: Option<String>,
    /// An existing secret to import.
    key: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyOut {
    id: i64,
    name: String,
    prefix: String,
    username: Option<String>,
    scopes: Vec<&'static str>,
    created_at: String,
    expires_at: Option<String>,
    /// The secret, in the answer that makes it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

fn key_out(key: &Key, secret: Option<&Secret>) -> KeyOut {
    KeyOut {
        id: key.id.0,
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        username: key.username.clone(),
        scopes: key.scopes.iter().map(|scope| scope.name()).collect(),
        created_at: rfc3339(key.created_at),
        expires_at: key.expires_at.map(rfc3339),
        key: secret.map(|secret| secret.reveal().to_owned()),
    }
}

impl KeyIn {
    fn read(self) -> Result<KeyRequest, Problem> {
        let scope = |(position, text): (usize, &String)| {
            let unknown = || Problem::invalid_field(&format!("scopes[{position}]"), format!("{text:?} is not a scope"));
            Scope::parse(text).ok_or_else(unknown)
        };
        let expires_at = self.expires_at.map(|text| {
            let message = "must be a time like 2027-01-01T00:00:00Z (RFC 3339)";
            parse_rfc3339(&text).ok_or_else(|| Problem::invalid_field("expires_at", message))
        });
        Ok(KeyRequest {
            scopes: self.scopes.iter().enumerate().map(scope).collect::<Result<_, _>>()?,
            name: self.name,
            username: self.username,
            expires_at: expires_at.transpose()?,
            secret: self.key.map(Secret::new),
        })
    }
}

pub(crate) async fn create_key(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
    Json(key): Json<KeyIn>,
) -> Result<(StatusCode, Answer<KeyOut>), Problem> {
    let tenant = find(&engine, &slug)?;
    let issued = engine.create_key(Some(tenant.id), key.read()?).await?;
    Ok((StatusCode::CREATED, Answer(key_out(&issued.key, Some(&issued.secret)))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysIn {
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list_keys(
    State(engine): State<App>,
    _: Platform,
    PathParts(slug): PathParts<String>,
    Params(query): Params<KeysIn>,
) -> Result<Answer<PageOut<KeyOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let (limit, after) = (page.limit()?, page.after()?.unwrap_or(0));
    let keys = engine.keys(Some(find(&engine, &slug)?.id)).into_iter().filter(|key| key.id.0 > after);
    Ok(Answer(PageOut::new(keys.take(limit).collect(), limit, |key| key.id.0, |key| key_out(&key, None))))
}

pub(crate) async fn revoke_key(
    State(engine): State<App>,
    _: Platform,
    PathParts((slug, key)): PathParts<(String, i64)>,
) -> Result<StatusCode, Problem> {
    engine.revoke_key(Some(find(&engine, &slug)?.id), KeyId(key)).await?;
    Ok(StatusCode::NO_CONTENT)
}
