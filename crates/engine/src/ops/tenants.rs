//! Tenants and their API keys.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::quotas::Quotas;
use domain::tenant::{Key, KeyHash, Scope, Tenant, check_slug};
use domain::{KeyId, Secret, TenantId, Timestamp};
use sha2::{Digest as _, Sha256};
use store::StoreError;
use store::directory::{NewKey, NewTenant};
use store::journal::Text;

use super::channel_edit::provider_names;
use super::{Engine, OpsError, check_name};
use crate::dispatch::Input;

/// The shortest secret that may be imported: clients that log in with a password have such, and what is shorter can be
/// guessed.
pub const IMPORTED_KEY_BYTES_MIN: usize = 8;

/// The longest secret that may be imported.
pub const IMPORTED_KEY_BYTES_MAX: usize = 256;

/// The characters of a key that stay readable, to tell keys apart.
const PREFIX_CHARS: usize = 8;

/// The most keys of one tenant.
const KEYS_MAX: usize = 1000;

/// What a tenant is to be.
#[derive(Debug)]
pub struct TenantEdit {
    pub name: String,
    pub email: Option<String>,
    pub providers: ProvidersEdit,
    pub quotas: QuotasEdit,
}

/// How much a tenant may bring and have.
#[derive(Clone, Copy, Debug)]
pub enum QuotasEdit {
    /// What it was before; for a new tenant what the server's settings say.
    Keep,
    Set(Quotas),
}

/// Which providers a tenant's channels may have. Channels that there are already stay as they are.
#[derive(Debug)]
pub enum ProvidersEdit {
    /// Those that it was before; for a new tenant every one.
    Keep,
    Every,
    Only(Vec<String>),
}

impl TenantEdit {
    /// A name and nothing else.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), email: None, providers: ProvidersEdit::Keep, quotas: QuotasEdit::Keep }
    }
}

/// What a key is to be.
#[derive(Debug)]
pub struct KeyRequest {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The user name that goes with it in HTTP Basic.
    pub username: Option<String>,
    pub expires_at: Option<Timestamp>,
    /// An existing secret to import; `None` makes one.
    pub secret: Option<Secret>,
}

/// A key with its secret, which is shown this once.
#[derive(Debug)]
pub struct IssuedKey {
    pub key: Key,
    pub secret: Secret,
}

/// Why a secret is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// Nobody has such a key, or it was revoked.
    Unknown,
    /// Its time is over.
    Expired,
}

/// What stands for a key's secret in the store.
pub fn hash_key(secret: &str) -> KeyHash {
    Sha256::digest(secret.as_bytes()).into()
}

impl Engine {
    /// Makes a tenant, or changes the one with this slug.
    pub async fn put_tenant(&self, slug: &str, edit: TenantEdit) -> Result<Tenant, OpsError> {
        if !check_slug(slug) {
            return Err(OpsError::invalid(
                "slug",
                "must be 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
            ));
        }
        check_name(&edit.name)?;
        if edit.email.as_deref().is_some_and(|email| !is_address(email)) {
            return Err(OpsError::invalid("email", "must be a mail address, like ops@example.com"));
        }
        if let ProvidersEdit::Only(names) = &edit.providers {
            check_providers(names)?;
        }
        let _changing = self.changing.lock().await;
        let providers = match edit.providers {
            ProvidersEdit::Keep => self.registry.tenant(slug).and_then(|tenant| tenant.providers),
            ProvidersEdit::Every => None,
            ProvidersEdit::Only(names) => Some(names),
        };
        let quotas = match edit.quotas {
            QuotasEdit::Keep => self.registry.tenant(slug).map(|tenant| tenant.quotas).unwrap_or_default(),
            QuotasEdit::Set(quotas) => quotas,
        };
        let new = NewTenant { slug: slug.to_owned(), name: edit.name, email: edit.email, providers, quotas };
        let tenant = self.store.put_tenant(new, self.clock.now()).await?;
        self.registry.put_tenant(tenant.clone());
        self.steer_anew(tenant.id).await?;
        Ok(tenant)
    }

    /// Suspends a tenant: its keys are refused, nothing is accepted or sent for it, and what waits is held. When this
    /// returns, nothing more is started for it.
    pub async fn suspend_tenant(&self, tenant: TenantId) -> Result<Tenant, OpsError> {
        let _changing = self.changing.lock().await;
        let changed = self.store.suspend_tenant(tenant, self.clock.now()).await;
        self.take_tenant(tenant, changed).await
    }

    /// Ends a suspension: what was held goes on at once.
    pub async fn resume_tenant(&self, tenant: TenantId) -> Result<Tenant, OpsError> {
        let _changing = self.changing.lock().await;
        let changed = self.store.resume_tenant(tenant).await;
        self.take_tenant(tenant, changed).await
    }

    /// Takes a tenant into the registry as it has become; after a failure as the store has it, because the change may
    /// have been made and only the answer lost.
    async fn take_tenant(
        &self,
        tenant: TenantId,
        changed: Result<Option<Tenant>, StoreError>,
    ) -> Result<Tenant, OpsError> {
        let known = match &changed {
            Ok(changed) => changed.clone(),
            Err(_) => self.stored_tenant(tenant).await.flatten(),
        };
        if let Some(known) = known {
            self.registry.put_tenant(known);
            self.dispatch.input(Input::TenantChanged(tenant));
            // Inputs are taken in order: when this is answered, that one was.
            self.dispatch.standing(Vec::new()).await;
        }
        changed?.ok_or_else(|| OpsError::NotFound(format!("tenant {tenant}")))
    }

    /// Deletes a tenant with everything that it has. When this returns, its keys and channels are gone; its data is
    /// erased in the background.
    pub async fn delete_tenant(&self, tenant: TenantId) -> Result<(), OpsError> {
        let _changing = self.changing.lock().await;
        let deleted = self.store.delete_tenant(tenant, self.clock.now()).await;
        let is_gone = match &deleted {
            Ok(is_deleted) => *is_deleted,
            Err(_) => self.stored_tenant(tenant).await.is_some_and(|stored| stored.is_none()),
        };
        if is_gone {
            let channels = self.registry.remove_tenant(tenant);
            self.quota_book.forget(tenant);
            self.dispatch.input(Input::TenantDeleted(channels));
        }
        if deleted? { Ok(()) } else { Err(OpsError::NotFound(format!("tenant {tenant}"))) }
    }

    /// A tenant as the store has it. `None` when the store cannot tell.
    async fn stored_tenant(&self, tenant: TenantId) -> Option<Option<Tenant>> {
        let snapshot = self.store.load().await.ok()?;
        Some(snapshot.tenants.into_iter().find(|stored| stored.id == tenant))
    }

    /// Whether a tenant is suspended.
    pub fn is_suspended(&self, tenant: TenantId) -> bool {
        self.registry.is_suspended(tenant)
    }

    pub fn tenant(&self, slug: &str) -> Option<Tenant> {
        self.registry.tenant(slug)
    }

    /// Tenants in order of id, those above `after`, with `text` in their name or slug.
    pub fn tenants(&self, text: Option<&Text>, after: TenantId, rows_max: usize) -> Vec<Tenant> {
        let passes = |tenant: &Tenant| text.is_none_or(|text| text.is_in(&tenant.slug) || text.is_in(&tenant.name));
        self.registry.tenants_that(after, rows_max, passes)
    }

    /// Makes a key of a tenant, or a platform key (`None`).
    pub async fn create_key(&self, tenant: Option<TenantId>, request: KeyRequest) -> Result<IssuedKey, OpsError> {
        check_name(&request.name)?;
        check_scopes(tenant, &request.scopes)?;
        let now = self.clock.now();
        if request.expires_at.is_some_and(|end| end <= now) {
            return Err(OpsError::invalid("expires_at", "must lie in the future"));
        }
        if request.username.as_deref().is_some_and(|name| name.is_empty() || name.len() > 128 || name.contains(':')) {
            return Err(OpsError::invalid("username", "must be 1 to 128 characters without ':'"));
        }
        let secret = match request.secret {
            Some(secret) => checked_import(secret)?,
            None => self.make_secret(tenant.is_none()),
        };
        let new = NewKey {
            tenant,
            name: request.name,
            hash: hash_key(secret.reveal()),
            prefix: beginning_of(&secret),
            username: request.username,
            scopes: request.scopes,
            expires_at: request.expires_at,
        };
        let _changing = self.changing.lock().await;
        if let Some(tenant) = tenant {
            self.check_tenant(tenant)?;
        }
        if self.registry.keys_of(tenant).len() >= KEYS_MAX {
            return Err(OpsError::Conflict(format!(
                "there are {KEYS_MAX} keys already; revoke those that are not used"
            )));
        }
        let in_use = || OpsError::Conflict("this key is in use already; import another".to_owned());
        let key = self.store.create_key(new, now).await?.ok_or_else(in_use)?;
        self.registry.put_key(key.clone());
        Ok(IssuedKey { key, secret })
    }

    /// Makes `secret` the platform key of this name, and revokes the one that had it before. The operator's own choice:
    /// of any length.
    pub async fn set_platform_key(&self, name: &str, secret: Secret) -> Result<(), OpsError> {
        let hash = hash_key(secret.reveal());
        if self.registry.key(&hash).is_some_and(|key| key.tenant.is_none()) {
            return Ok(());
        }
        for before in self.registry.keys_of(None).into_iter().filter(|key| key.name == name) {
            self.revoke_key(None, before.id).await?;
        }
        let new = NewKey {
            tenant: None,
            name: name.to_owned(),
            hash,
            prefix: beginning_of(&secret),
            username: None,
            scopes: vec![Scope::Platform],
            expires_at: None,
        };
        let _changing = self.changing.lock().await;
        let in_use = || OpsError::Conflict(format!("{name} is the key of a tenant already; choose another"));
        let key = self.store.create_key(new, self.clock.now()).await?.ok_or_else(in_use)?;
        self.registry.put_key(key);
        Ok(())
    }

    /// The keys of a tenant in order of id.
    pub fn keys(&self, tenant: Option<TenantId>) -> Vec<Arc<Key>> {
        self.registry.keys_of(tenant)
    }

    pub async fn revoke_key(&self, tenant: Option<TenantId>, key: KeyId) -> Result<(), OpsError> {
        let _changing = self.changing.lock().await;
        let revoked = self.store.revoke_key(tenant, key, self.clock.now()).await;
        if revoked.is_err()
            && let Ok(snapshot) = self.store.load().await
            && !snapshot.keys.iter().any(|kept| kept.id == key)
        {
            // It was done, and only the answer lost.
            self.registry.remove_key(key);
        }
        let is_revoked = revoked?;
        // One that the store no longer has was revoked before, and only the answer was lost: it must not live on here.
        let is_known = self.registry.keys_of(tenant).iter().any(|known| known.id == key);
        if is_revoked || is_known {
            self.registry.remove_key(key);
            return Ok(());
        }
        Err(OpsError::NotFound(format!("key {key}")))
    }

    /// The key with this secret, if it is good now.
    pub fn authenticate(&self, secret: &str) -> Result<Arc<Key>, BadKey> {
        let key = self.registry.key(&hash_key(secret)).ok_or(BadKey::Unknown)?;
        if key.is_expired(self.clock.now()) { Err(BadKey::Expired) } else { Ok(key) }
    }

    fn make_secret(&self, is_platform: bool) -> Secret {
        let mut bytes = [0; 24];
        self.entropy.fill(&mut bytes);
        let kind = if is_platform { "pp" } else { "pk" };
        Secret::new(format!("{kind}_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }
}

fn check_providers(names: &[String]) -> Result<(), OpsError> {
    if names.is_empty() {
        return Err(OpsError::invalid("providers", "must name at least one; null allows every one"));
    }
    for (position, name) in names.iter().enumerate() {
        let wrong = |message: String| Err(OpsError::invalid(&format!("providers[{position}]"), message));
        if providers::find(name).is_none() {
            return wrong(format!("must be one of {}", provider_names()));
        }
        if names[..position].contains(name) {
            return wrong("is there already".to_owned());
        }
    }
    Ok(())
}

fn check_scopes(tenant: Option<TenantId>, scopes: &[Scope]) -> Result<(), OpsError> {
    let allowed: &[Scope] = if tenant.is_some() { &Scope::TENANT } else { &Scope::ALL };
    let names = || allowed.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
    if scopes.is_empty() {
        return Err(OpsError::invalid("scopes", format!("must name at least one of {}", names())));
    }
    match scopes.iter().find(|scope| !allowed.contains(scope)) {
        Some(scope) => Err(OpsError::invalid("scopes", format!("{} is not one of {}", scope.name(), names()))),
        None => Ok(()),
    }
}

/// What a list shows of a secret, so that people tell their keys apart: at most a quarter of it.
fn beginning_of(secret: &Secret) -> String {
    let text = secret.reveal();
    text.chars().take(PREFIX_CHARS.min(text.chars().count() / 4)).collect()
}

fn checked_import(secret: Secret) -> Result<Secret, OpsError> {
    let text = secret.reveal();
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && (IMPORTED_KEY_BYTES_MIN..=IMPORTED_KEY_BYTES_MAX).contains(&text.len()) {
        return Ok(secret);
    }
    Err(OpsError::invalid(
        "key",
        format!("must be {IMPORTED_KEY_BYTES_MIN} to {IMPORTED_KEY_BYTES_MAX} visible ASCII characters without spaces"),
    ))
}

/// Enough to catch a slip; only a mail server knows whether an address exists.
fn is_address(text: &str) -> bool {
    let has_space = text.chars().any(|character| character.is_whitespace() || character.is_control());
    !has_space
        && text.len() <= 254
        && text
            .rsplit_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.ends_with('.'))
}
