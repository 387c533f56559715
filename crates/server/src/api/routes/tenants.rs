//! `/v1/tenants` and their keys.

use domain::tenant::Scope::Platform;
use serde_json::{Value, json};

use super::super::quotas::QuotasOut;
use super::super::tenants::{self, KeyIn, KeyOut, KeysIn, ListIn, TenantIn, TenantOut};
use super::Routes;
use super::deliveries::quotas_example;
use crate::openapi::Operation;

pub(super) fn declare(routes: Routes) -> Routes {
    keys(of_tenants(routes))
}

fn of_tenants(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "tenants", about).scope(Platform);
    let shown = |operation: Operation| operation.answers::<TenantOut>(200, "The tenant.", tenant());
    routes
        .get(
            "/v1/tenants",
            tenants::list,
            operation("listTenants", "Lists tenants, oldest first.").query::<ListIn>().page::<TenantOut>(tenant()),
        )
        .post(
            "/v1/tenants",
            tenants::create,
            operation("createTenant", "Makes a tenant, or changes the one with this slug.")
                .body::<TenantIn>(json!({"slug": "acme", "name": "Acme"}))
                .answers::<TenantOut>(201, "The tenant.", tenant()),
        )
        .get("/v1/tenants/{slug}", tenants::show, shown(operation("getTenant", "Shows a tenant.")))
        .put(
            "/v1/tenants/{slug}",
            tenants::put,
            shown(operation("putTenant", "Makes a tenant, or changes it.")).body::<TenantIn>(json!({
                "name": "Acme", "email": "ops@example.com", "providers": ["email", "webhook"], "quotas": {"events_per_day": 100_000},
            })),
        )
        .get(
            "/v1/tenants/{slug}/quotas",
            tenants::show_quotas,
            operation("getTenantQuotas", "What a tenant may bring and have, and how much of it is used.").answers::<QuotasOut>(
                200,
                "The quotas.",
                quotas_example(),
            ),
        )
        .delete(
            "/v1/tenants/{slug}",
            tenants::remove,
            operation("deleteTenant", "Deletes a tenant and all that it has.")
                .detail("Its keys and channels are gone with the answer; its data is erased after it.")
                .empty(202, "It is being erased."),
        )
        .post(
            "/v1/tenants/{slug}/suspend",
            tenants::suspend,
            shown(operation("suspendTenant", "Refuses a tenant's keys and sends nothing for it.")),
        )
        .post("/v1/tenants/{slug}/resume", tenants::resume, shown(operation("resumeTenant", "Ends a suspension.")))
}

fn keys(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "keys", about).scope(Platform);
    let mut issued = key();
    issued["key"] = "pr_5b1c7e0d9f".into();
    routes
        .get(
            "/v1/tenants/{slug}/keys",
            tenants::list_keys,
            operation("listKeys", "Lists a tenant's keys without their secrets.")
                .query::<KeysIn>()
                .page::<KeyOut>(key()),
        )
        .post(
            "/v1/tenants/{slug}/keys",
            tenants::create_key,
            operation("createKey", "Makes a key of a tenant.")
                .detail("`key` is its secret, in this answer and never again.")
                .body::<KeyIn>(json!({
                    "name": "ci", "scopes": ["events:write"], "expires_at": "2036-01-01T00:00:00Z",
                }))
                .answers::<KeyOut>(201, "The key.", issued)
                .refuses(409, "This secret or user name is in use."),
        )
        .delete(
            "/v1/tenants/{slug}/keys/{id}",
            tenants::revoke_key,
            operation("revokeKey", "Revokes a key.").empty(204, "It is refused from now on."),
        )
}

fn tenant() -> Value {
    json!({
        "id": 2, "slug": "acme", "name": "Acme", "email": "ops@example.com", "providers": null,
        "quotas": {"events_per_day": 100_000}, "suspended_at": null, "created_at": "2026-11-22T08:46:21.550Z", "updated_at": null,
    })
}

fn key() -> Value {
    json!({
        "id": 2, "name": "ci", "prefix": "pr_5b1c", "username": null, "scopes": ["events:write"],
        "created_at": "2026-11-22T08:46:21.550Z", "expires_at": "2036-01-01T00:00:00.000Z",
    })
}
