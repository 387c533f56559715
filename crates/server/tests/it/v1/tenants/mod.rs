//! `/v1/tenants`.

mod delete;
mod keys;
mod providers;
mod quotas;
mod suspend;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) id: i64,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) providers: Option<Vec<String>>,
    pub(crate) quotas: std::collections::BTreeMap<String, u64>,
    pub(crate) suspended_at: Option<String>,
    pub(crate) created_at: String,
    pub(crate) updated_at: Option<String>,
}
