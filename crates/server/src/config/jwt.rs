//! `[jwt]`: whose bearer tokens are taken.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::read::Reader;

/// An issuer whose tokens are taken.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    pub issuer: String,
    pub audiences: Vec<String>,
    pub keys: KeySource,
    pub tenant_claim: String,
    pub role_claim: String,
    pub reader_roles: Vec<String>,
    pub writer_roles: Vec<String>,
    /// The least time between two looks at the keys.
    pub refetch: Duration,
}

/// Where the issuer's public keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    File(PathBuf),
    Url(Url),
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<JwtConfig> {
    let text = |text: &str| Ok(text.to_owned());
    let issuer = reader.optional("jwt.issuer", text);
    let audiences = reader.list("jwt.audience", text);
    let keys = reader.optional("jwt.jwks", key_source);
    let claim =
        |text: &str| if text.is_empty() { Err("must be the name of a claim".to_owned()) } else { Ok(text.to_owned()) };
    let (tenant_claim, role_claim) = (reader.parsed("jwt.tenant_claim", claim), reader.parsed("jwt.role_claim", claim));
    let (reader_roles, writer_roles) = (reader.list("jwt.reader_roles", text), reader.list("jwt.writer_roles", text));
    let refetch = reader.seconds("jwt.refetch_seconds", 1..=3600);
    let issuer = issuer?;
    if audiences.is_empty() {
        let message = "is required with jwt.issuer: who the tokens are for, or those for other services would be taken";
        reader.refuse("jwt.audience", "jwt.issuer", message);
    }
    let Some(keys) = keys else {
        reader.refuse(
            "jwt.jwks",
            "jwt.issuer",
            "is required with jwt.issuer: the URL or the file with its public keys",
        );
        return None;
    };
    Some(JwtConfig { issuer, audiences, keys, tenant_claim, role_claim, reader_roles, writer_roles, refetch })
}

fn key_source(text: &str) -> Result<KeySource, String> {
    if !text.contains("://") {
        return Ok(KeySource::File(text.into()));
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty());
    url.map(KeySource::Url).ok_or_else(|| "must be an http or https URL without user, or the path of a file".to_owned())
}
