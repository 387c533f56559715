//! `postrider keys`: the API keys of a tenant.

use std::process::ExitCode;

use serde::Serialize;

use super::client::wire::Key;
use super::client::{self, Client, Part, Target, path};
use super::exit::{Ended, Exit};
use super::input::Consent;
use super::output::{Table, print, print_json, remark, when};
use crate::app::Starts;
use domain::tenant::Scope;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the keys, without their secrets
    List(Part),
    /// Make a key and print its secret, this once
    Create(Create),
    /// Take a key back: it is refused from then on
    Revoke {
        /// Its id in the list
        id: i64,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What it is for, so that it is known in the list
    #[arg(long)]
    name: String,
    /// What it may do; may be given several times, by default everything that a tenant's key may
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scopes())]
    scopes: Vec<String>,
    /// When it ends, like 2027-01-01T00:00:00Z; by default never
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

fn scopes() -> clap::builder::PossibleValuesParser {
    Scope::TENANT.map(Scope::name).into()
}

#[derive(Debug, Serialize)]
struct KeyIn<'a> {
    name: &'a str,
    scopes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let target = &arguments.target;
    let is_json = target.is_json;
    if let Action::Revoke { id, consent } = &arguments.action
        && let Err(failure) = consent.get(&format!("Revoke key {id}? Whoever uses it is refused."))
    {
        return Ok(super::exit::report(Err(failure)));
    }
    match &arguments.action {
        Action::List(part) => client::run(target, Starts::Nothing, async |client| list(client, part, is_json).await),
        Action::Create(create) => {
            client::run(target, Starts::Nothing, async |client| make(client, create, is_json).await)
        }
        Action::Revoke { id, .. } => client::run(target, Starts::Nothing, async |client| {
            client.delete(&path(&["v1", "tenants", client.tenant_slug(), "keys", &id.to_string()])).await?;
            if !is_json {
                print(&format!("Key {id} is revoked."))?;
            }
            Ok(Exit::Ok)
        }),
    }
}

fn keys_path(client: &Client) -> String {
    path(&["v1", "tenants", client.tenant_slug(), "keys"])
}

async fn list(client: &Client, part: &Part, is_json: bool) -> Ended {
    let listing = client.list(&keys_path(client), &[], part).await?;
    listing.print(is_json, |listing| {
        let mut table = Table::new(&["ID", "NAME", "PREFIX", "SCOPES", "CREATED", "EXPIRES"]);
        for key in listing.read::<Key>()? {
            let expires = key.expires_at.as_deref().map_or_else(|| "never".to_owned(), |at| when(at, client.now()));
            let created = when(&key.created_at, client.now());
            table.row([key.id.to_string(), key.name, key.prefix, key.scopes.join(" "), created, expires]);
        }
        Ok(table.text(&format!("Tenant {} has no keys.", client.tenant_slug())))
    })?;
    Ok(Exit::Ok)
}

async fn make(client: &Client, create: &Create, is_json: bool) -> Ended {
    let given = create.scopes.iter().map(String::as_str);
    let all = Scope::TENANT.iter().map(|scope| scope.name());
    let request = KeyIn {
        name: &create.name,
        scopes: if create.scopes.is_empty() { all.collect() } else { given.collect() },
        expires_at: create.expires_at.as_deref(),
    };
    let answer = client.post(&keys_path(client), &request).await?;
    if is_json {
        print_json(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let key: Key = answer.read()?;
    // The secret alone goes to stdout, so that `KEY=$(postrider keys create ...)` holds it.
    remark(&format!(
        "Key {} for tenant {} may {}. It is shown this once, so keep it:",
        key.id,
        client.tenant_slug(),
        key.scopes.join(", ")
    ));
    print(key.secret.as_deref().unwrap_or_default())?;
    Ok(Exit::Ok)
}
